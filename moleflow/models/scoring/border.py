"""V2: less weight for patches near the frame, which the backbone judges on padding."""

import torch
from torch import Tensor

from moleflow.models.scoring.ground import pulled_to_median
from moleflow.models.scoring.scorer import ScoreMapping


def ramp(height: int, width: int, share: float) -> Tensor:
    """Weights (height, width): min(1, (d + 1)/(n + 1)) at d patches from the frame, n = share of the shorter side."""
    steps = round(share * min(height, width))
    rows, columns = torch.arange(height), torch.arange(width)
    down = torch.minimum(rows, height - 1 - rows)
    across = torch.minimum(columns, width - 1 - columns)
    return ((torch.minimum(down[:, None], across[None]) + 1) / (steps + 1)).clamp(max=1)


class BorderRamp(ScoreMapping):
    """s ← m + w·(s − m), with m the median of the image's scores and w rising linearly from the frame.

    A convolution pads with zeros, so features near the frame mix the product with nothing, and differ between good
    images more than they should. PatchCore (Roth et al. 2022) damps the same patches by pooling with zeros. A defect at
    the very edge of the image counts for less, too: leave this out where products fill the frame and break at its edge.

    Args:
        share: part of the shorter side over which the weight rises, on each side.
    """

    weight: Tensor

    def __init__(self, grid: tuple[int, int], share: float):
        super().__init__()
        self.register_buffer("weight", ramp(*grid, share), persistent=False)

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B, H, W)."""
        return pulled_to_median(scores, self.weight)
