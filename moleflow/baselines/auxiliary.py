"""Images that are no product: textures to paint defects with (DTD), photographs to keep a student humble (Imagenette).

They come from a folder that the user names. Where none is named, generated textures stand in, and the peer's card says
so: sums of smooth noise at several scales in two colours each.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from moleflow.data.images import load_image
from moleflow.utils.errors import UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
COUNT = 64
"""Images that are kept, at most."""


def auxiliary_images(folder: str | None, side: int, seed: int) -> Tensor:
    """Images (n, 3, side, side) in 0..1: ``COUNT`` of a folder's, drawn at random, or as many generated ones.

    Args:
        folder: all images below it count; None: generated textures.
        side: their side.
        seed: of the draw.

    Raises:
        UsageError: there is no such folder, or no image in it.
        BadImage: an image cannot be read.
    """
    random = torch.Generator().manual_seed(seed)
    if folder is None:
        return torch.stack([texture(side, random) for _ in range(COUNT)])
    files = sorted(file for file in Path(folder).rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"no image lies below {folder}: name a folder of images, or none for generated textures.")
    chosen = [files[row] for row in torch.randperm(len(files), generator=random)[:COUNT].tolist()]
    pixels = [torch.from_numpy(load_image(file, side, "crop").copy()) for file in chosen]
    return torch.stack(pixels).permute(0, 3, 1, 2).float() / 255


def texture(side: int, random: torch.Generator) -> Tensor:
    """One generated texture (3, side, side): noise at three scales, between two random colours."""
    height = smooth_noise(side, random, finest=2)
    share = torch.sigmoid(4 * height)
    first, second = torch.rand(2, 3, 1, 1, generator=random)
    return first * share + second * (1 - share)


def smooth_noise(side: int, random: torch.Generator, finest: int = 1) -> Tensor:
    """Smooth noise (side, side) of about unit spread: Gaussian noise on grids of 2^k cells a side, enlarged.

    Args:
        side: its side.
        random: the only source of chance.
        finest: grids whose cells are smaller than so many pixels are left out.
    """
    total = torch.zeros(side, side)
    scales = [2**power for power in range(1, 7) if 2**power <= side // finest] or [2]
    chosen = [scales[row] for row in torch.randint(len(scales), (2, 2), generator=random).flatten().tolist()]
    for rows, columns in (chosen[:2], chosen[2:]):
        grid = torch.randn(1, 1, rows, columns, generator=random)
        total += F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)[0, 0]
    return total / total.std().clamp_min(1e-6)
