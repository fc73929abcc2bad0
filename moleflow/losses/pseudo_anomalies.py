"""Synthetic anomalies in features: rectangles of patches that do not belong where they are."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

AREA = (0.02, 0.15)
"""Share of the grid that a rectangle covers, uniform (CutPaste, Li et al. 2021)."""
ASPECT = (0.3, 1 / 0.3)
"""Height over width of a rectangle, log-uniform."""
STRENGTH = (0.5, 2.0)
"""Noise in standard deviations of a channel, uniform."""


class PseudoAnomalies(NamedTuple):
    """Corrupted features.

    Attributes:
        features: (B, H, W, D).
        mask: the patches that were touched, (B, H, W) bool.
    """

    features: Tensor
    mask: Tensor


class Box(NamedTuple):
    """Rows and columns of a rectangle of patches."""

    rows: slice
    columns: slice


def corrupt(features: Tensor, generator: torch.Generator) -> PseudoAnomalies:
    """Corrupt one rectangle of each image's features (B, H, W, D).

    With equal chance the rectangle is pasted from a place of its own in another image of the batch (in the same one,
    where there is no other), gets Gaussian noise in proportion to each channel's standard deviation over the batch,
    or both. A pasted patch of a texture may be perfectly normal; a noisy one never is.

    Args:
        features: features of normal images; they are left as they are.
        generator: on the CPU; the only source of chance.
    """
    corrupted = features.clone()
    mask = torch.zeros(features.shape[:3], dtype=torch.bool, device=features.device)
    spread = features.detach().std(dim=(0, 1, 2), correction=0)
    for image in range(len(features)):
        size = rectangle(features.shape[1:3], generator)
        box = place(features.shape[1:3], size, generator)
        pastes, disturbs = ((True, False), (False, True), (True, True))[_below(3, generator)]
        if pastes:
            source = (image + 1 + _below(max(1, len(features) - 1), generator)) % len(features)
            corrupted[image, *box] = features[source, *place(features.shape[1:3], size, generator)]
        if disturbs:
            noise = torch.randn(*size, features.shape[-1], generator=generator).to(features)
            corrupted[image, *box] += _between(STRENGTH, generator) * spread * noise
        mask[image, *box] = True
    return PseudoAnomalies(corrupted, mask)


def rectangle(grid: torch.Size, generator: torch.Generator) -> tuple[int, int]:
    """Height and width in patches of a random rectangle, at least 1, at most the grid's."""
    area = _between(AREA, generator) * math.prod(grid)
    aspect = math.exp(_between((math.log(ASPECT[0]), math.log(ASPECT[1])), generator))
    wanted = (math.sqrt(area * aspect), math.sqrt(area / aspect))
    height, width = (min(max(1, round(side)), most) for side, most in zip(wanted, grid, strict=True))
    return height, width


def place(grid: torch.Size, size: tuple[int, int], generator: torch.Generator) -> Box:
    """A random place on the grid for a rectangle."""
    top, left = (_below(most - side + 1, generator) for most, side in zip(grid, size, strict=True))
    return Box(slice(top, top + size[0]), slice(left, left + size[1]))


def _below(bound: int, generator: torch.Generator) -> int:
    return int(torch.randint(bound, (), generator=generator))


def _between(bounds: tuple[float, float], generator: torch.Generator) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand((), generator=generator).item()
