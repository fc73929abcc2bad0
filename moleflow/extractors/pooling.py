"""From feature maps of several stages to one grid of D channels; what all extractors share."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from moleflow.utils.errors import UsageError

LEFT_OUT, ZEROS = "left_out", "zeros"
"""What lies beyond the frame in the 3×3 mean."""


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


def joined(stages: Sequence[Tensor], grid: int, dim: int) -> Tensor:
    """Stages (B, C_i, h_i, w_i) on one grid, concatenated and pooled over channels to ``dim``: (B, grid, grid, dim)."""
    patches = torch.cat([to_grid(maps, grid) for maps in stages], dim=1).permute(0, 2, 3, 1)  # (B,G,G,ΣC)
    if patches.shape[-1] == dim:
        return patches.contiguous()
    return F.adaptive_avg_pool1d(patches.flatten(1, 2), dim).unflatten(1, (grid, grid))


def pooled_dim(embed_dim: int, channels: int) -> int:
    """Channels after pooling: ``embed_dim``, or the channels there are, for pooling up would only repeat them.

    Raises:
        UsageError: ``embed_dim`` is below 1.
    """
    if embed_dim < 1:
        raise UsageError(f"expected an embed_dim of at least 1, found {embed_dim}")
    return min(embed_dim, channels)
