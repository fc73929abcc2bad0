"""V6: less weight for places where a task's normal images show little of the product."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.scoring.scorer import ScoreMapping
from moleflow.models.scoring.smoothing import gaussian_blur
from moleflow.models.task import PerTask

BLUR = 1.0
"""σ in patches, of what is usual at a place: of few images its mean is noise from one place to the next."""

UsualAway = Callable[[str], Tensor | None]
"""Task -> how far a normal patch at each place lies from those of other normal images, (H, W); None: not known."""


class Ground(nn.Module):
    """How much each place of a task counts, (H, W) in 0..1; 1 before anything is known.

    Attributes:
        weight: (H, W).
    """

    weight: Tensor

    def __init__(self, grid: tuple[int, int]):
        super().__init__()
        self.register_buffer("weight", torch.ones(grid))

    def learn(self, usual: Tensor, quantile: float) -> None:
        """Set w = min(1, u/q), q the quantile of u over places; where nothing is known or differs, every w stays 1."""
        usual = gaussian_blur(usual[None, None], BLUR)[0, 0]
        most = usual.quantile(quantile)
        if most.isfinite() and most > 0:
            self.weight.copy_((usual / most).clamp(max=1))


class GroundWeight(ScoreMapping):
    """s ← m + w·(s − m), with m the median of the image's scores and w what the task's normal images say of the place.

    u is the mean distance of normal patches at a place to the nearest kept patch of another image, w = min(1, u/q), and
    q a high quantile of u over all places. Where products lie normal patches differ, and w is near 1; on the ground
    around them all are alike, and what shows there (a crumb, a neighbour that the frame cuts) is seldom a defect of the
    product. Where products fill the image w is near 1 everywhere. A defect that lies on the ground alone counts for
    less: leave this out where the ground is inspected, too.

    Args:
        grid: (H, W).
        quantile: of u, where w reaches 1.
        usual: how u is found.
    """

    def __init__(self, grid: tuple[int, int], quantile: float, usual: UsualAway):
        super().__init__()
        self.quantile = quantile
        self.usual = usual
        self.grounds = PerTask(lambda task: Ground(grid))

    def end_task(self, task: Task, batches: Batches) -> None:
        """Learn the weights of places from what the memory, filled before, found in the task's training images."""
        usual = self.usual(task.name)
        if usual is not None:
            self.grounds[task.name].learn(usual, self.quantile)

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B, H, W)."""
        return pulled_to_median(scores, self.grounds[task].weight)


def pulled_to_median(scores: Tensor, weight: Tensor) -> Tensor:
    """m + w·(s − m) with m the median of each image's scores, (B, H, W) and (H, W) -> (B, H, W)."""
    median = scores.flatten(1).median(dim=1).values[:, None, None]
    return median + weight.to(scores) * (scores - median)
