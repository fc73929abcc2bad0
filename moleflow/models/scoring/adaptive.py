"""S2: an attention of the task's own over the ranks of patch scores."""

import math

import torch
from torch import Tensor, nn

from moleflow.models.scoring.aggregation import Aggregation
from moleflow.models.task import PerTask

LIKE_TOP = 3
"""The ranks that nearly all attention starts on, as in the default top-k."""
LEAK = 3.0
"""Log-odds of these ranks against all others at the start: they get σ(3), 95 %."""


class RankAttention(nn.Module):
    """Σ over ranks of softmax(a)_r·s_(r), s_(1) the highest score of the image; a convex mix of its scores.

    Starts close to the mean of the 3 highest: they share 95 % of the attention evenly, the others 5 %. Logits have to
    move by whole units where AdamW moves weights by about its learning rate a step: theirs is ten times as high.

    Args:
        patches: number of patches of an image.
    """

    lr_factor = 10.0

    def __init__(self, patches: int):
        super().__init__()
        rest = max(1, patches - LIKE_TOP)
        self.a = nn.Parameter(torch.full((patches,), math.log(LIKE_TOP / rest) - LEAK))
        with torch.no_grad():
            self.a[:LIKE_TOP] = 0

    def forward(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        return scores.sort(dim=1, descending=True).values @ self.a.to(scores.dtype).softmax(0)


class Adaptive(Aggregation):
    """``RankAttention`` of each task. It learns on pseudo-anomalies (L7) alone, else it stays at its start.

    Args:
        patches: number of patches of an image.
    """

    def __init__(self, patches: int):
        super().__init__()
        self.attention = PerTask(lambda task: RankAttention(patches))

    def forward(self, patch_scores: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B,)."""
        return self.attention[task](patch_scores.flatten(1))
