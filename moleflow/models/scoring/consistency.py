"""S3: a patch's score counts by its agreement with its neighbourhood."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.models.scoring.scorer import ScoreMapping
from moleflow.models.task import PerTask

KERNELS = (3, 5, 7)
"""Neighbourhoods of the multi-scale form."""


def agreeing(scores: Tensor, kernel: int) -> Tensor:
    """s' = m + a·(s − m) with m the mean over the k×k neighbourhood, a = c/(c + |s − m|) in 0..1.

    c is the image's mean absolute deviation of patch scores from their mean. A patch that agrees with its
    neighbourhood (which it is part of) keeps its score; a lone one is drawn to m, so that |s' − m| < c, and
    a larger deviation still gives a larger s'. Scores may be negative: a constant added to them all is
    added to s', and a factor multiplies it. At the border the neighbourhood is what there is of it.

    Args:
        scores: (B, H, W).
        kernel: k, odd; 1 returns the scores.
    """
    around = F.avg_pool2d(scores[:, None], kernel, stride=1, padding=kernel // 2, count_include_pad=False)[:, 0]
    spread = (scores - scores.mean((1, 2), keepdim=True)).abs().mean((1, 2), keepdim=True)
    deviation = scores - around
    agreement = spread / (spread + deviation.abs()).clamp_min(torch.finfo(scores.dtype).tiny)
    return around + agreement * deviation


class LocalConsistency(ScoreMapping):
    """``agreeing`` with one neighbourhood; nothing is learned.

    Args:
        kernel: side of the neighbourhood, odd.
    """

    def __init__(self, kernel: int):
        super().__init__()
        self.kernel = kernel

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B, H, W)."""
        return agreeing(scores, self.kernel)


class Fusion(nn.Module):
    """softmax(a), a weight for each neighbourhood; starts as their mean.

    Logits have to move by whole units where AdamW moves weights by about its learning rate a step: theirs is ten
    times as high.
    """

    lr_factor = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(len(KERNELS)))

    def forward(self, scales: Tensor) -> Tensor:
        """(scales, B, H, W) -> (B, H, W)."""
        return torch.einsum("kbhw,k->bhw", scales, self.a.to(scales.dtype).softmax(0))


class MultiscaleConsistency(ScoreMapping):
    """Σ over k in 3, 5, 7 of the task's weight of k times ``agreeing`` with k.

    The weights learn on pseudo-anomalies (L7) alone, else they stay at 1/3 each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fusion = PerTask(lambda task: Fusion())

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B, H, W)."""
        return self.fusion[task](torch.stack([agreeing(scores, kernel) for kernel in KERNELS]))
