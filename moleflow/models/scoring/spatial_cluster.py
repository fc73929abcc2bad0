"""S2: top-k, raised where the highest scores lie together."""

import torch
from torch import Tensor
from torch.nn import functional as F

from moleflow.models.scoring.aggregation import Aggregation


class SpatialCluster(Aggregation):
    """m + (t − m)·(1 + w·share), m the image's (lower) median score and t the mean of its k highest.

    ``share`` is the part of the high-score area {s > (m + t)/2} that survives a morphological 3×3 opening: 0 for single
    patches and lines, 1 for a block. Scores are likelihoods and may be negative, so what is multiplied is the excess
    over the median: adding a constant to all scores adds it to the image's. Patches beyond the border do not erode.
    Where t < m (only if k is more than half of the patches) nothing is raised.

    Args:
        k: patches that decide, all of them where an image has fewer.
        weight: w.
    """

    def __init__(self, k: int, weight: float):
        super().__init__()
        self.k = k
        self.weight = weight

    def forward(self, patch_scores: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B,)."""
        flat = patch_scores.flatten(1)
        median = flat.median(1).values  # (B,)
        top = flat.topk(min(self.k, flat.shape[1]), dim=1).values.mean(1)  # (B,)
        high = patch_scores > ((median + top) / 2)[:, None, None]  # (B, H, W)
        return top + self.weight * surviving_share(high).to(top) * (top - median).relu()


def surviving_share(high: Tensor) -> Tensor:
    """Part of each mask's area (B, H, W) bool that a 3×3 opening leaves, (B,); 0 for an empty mask."""
    area = high.sum((1, 2)).clamp_min(1)
    return opened(high).sum((1, 2)) / area


def opened(mask: Tensor) -> Tensor:
    """Morphological opening (erosion, then dilation) of (B, H, W) bool by a 3×3 square; the outside does not erode."""
    eroded = -F.max_pool2d(-mask[:, None].to(torch.float32), 3, stride=1, padding=1)
    return F.max_pool2d(eroded, 3, stride=1, padding=1)[:, 0] > 0.5
