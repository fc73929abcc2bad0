"""From feature maps of several stages to one grid of D channels; what all extractors share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from moleflow.utils.errors import UsageError

LEFT_OUT, ZEROS = "left_out", "zeros"
"""What lies beyond the frame in the 3×3 mean."""
BY_WIDTH, BY_ROOT = "width", "root"
"""What a stage's share of the channels is proportional to: its own channels, or their square root."""


def checked_grid(feature_grid: int | None, default: int, img_size: int) -> int:
    """Side of the feature grid: the one asked for, or the default.

    Raises:
        UsageError: it is below 1 or finer than the image.
    """
    grid = default if feature_grid is None else feature_grid
    if not 1 <= grid <= img_size:
        raise UsageError(f"expected a feature grid of 1 to {img_size} (the image size) cells a side, found {grid}")
    return grid


def smoothed(maps: Tensor, frame: str = LEFT_OUT) -> Tensor:
    """Each cell averaged with its 3×3 neighbourhood, (B, C, h, w) -> (B, C, h, w), as PatchCore does.

    Cells beyond the border are left out of the mean: counted as zeros they would make every border patch smaller than
    its twin in the middle, and the flow would have to learn that frame. PatchCore has the zeros, and lives on them: a
    smaller patch is farther from fewer others, so the frame seldom has the image's highest score.
    """
    return F.avg_pool2d(maps, kernel_size=3, stride=1, padding=1, count_include_pad=frame == ZEROS)


def to_grid(maps: Tensor, grid: int) -> Tensor:
    """Maps (B, C, h, w) on a grid×grid raster: averaged over areas where it is coarser, bilinear where it is finer."""
    height, width = maps.shape[-2:]
    if max(height, width) > grid:
        maps = F.adaptive_avg_pool2d(maps, (min(height, grid), min(width, grid)))
    if min(height, width) < grid:
        maps = F.interpolate(maps, size=(grid, grid), mode="bilinear", align_corners=False)
    return maps


def joined(stages: Sequence[Tensor], grid: int, dim: int, shares: str = BY_WIDTH) -> Tensor:
    """Stages (B, C_i, h_i, w_i) on one grid, concatenated and pooled over channels to ``dim``: (B, grid, grid, dim).

    By width all channels are pooled alike, as PatchCore does; by root each stage is pooled to a share of its own, and
    the shallow stages, which are narrow and see small defects, keep more of what they know.
    """
    parts = [to_grid(maps, grid).permute(0, 2, 3, 1) for maps in stages]  # (B,G,G,C_i)
    widths = [part.shape[-1] for part in parts]
    if sum(widths) == dim:
        return torch.cat(parts, dim=-1).contiguous()
    if shares == BY_WIDTH:
        return _pooled(torch.cat(parts, dim=-1), dim)
    counts = root_shares(widths, dim)
    return torch.cat([_pooled(part, count) for part, count in zip(parts, counts, strict=True)], dim=-1)


def root_shares(widths: Sequence[int], dim: int) -> list[int]:
    """How ``dim`` channels are shared by stages of these widths: in proportion to √width, no stage more than it has."""
    free, counts = dim, [0] * len(widths)
    for rank, place in enumerate(sorted(range(len(widths)), key=lambda index: widths[index])):  # the narrowest first
        left = sorted(widths)[rank:]
        counts[place] = min(widths[place], round(free * widths[place] ** 0.5 / sum(width**0.5 for width in left)))
        free -= counts[place]
    return counts


def _pooled(patches: Tensor, dim: int) -> Tensor:
    """Neighbouring channels averaged, (B, G, G, C) -> (B, G, G, dim)."""
    return F.adaptive_avg_pool1d(patches.flatten(1, 2), dim).unflatten(1, patches.shape[1:3])


def pooled_dim(embed_dim: int, channels: int) -> int:
    """Channels after pooling: ``embed_dim``, or the channels there are, for pooling up would only repeat them.

    Raises:
        UsageError: ``embed_dim`` is below 1.
    """
    if embed_dim < 1:
        raise UsageError(f"expected an embed_dim of at least 1, found {embed_dim}")
    return min(embed_dim, channels)
