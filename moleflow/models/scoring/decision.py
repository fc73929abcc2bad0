"""S8: which images a task calls anomalous: by the image's score, or by the highest patch score of each region."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from moleflow.config.task import Task
from moleflow.models.scoring.limits import LimitRule
from moleflow.models.scoring.reference import ScoreReference, take_shape
from moleflow.models.task import PerTask

FEWEST = 3
"""Normal images below which a region's spread without one of them is unknown."""


class Decision(nn.Module, ABC):
    """What is anomalous as a product of one task."""

    @abstractmethod
    def forward(self, patches: Tensor, images: Tensor, reference: ScoreReference, task: str) -> Tensor:
        """Patch scores (B, H, W) and image scores (B,) -> (B,) bool; False where the task has no threshold."""

    @abstractmethod
    def learn(self, patches: Tensor, task: str, rate: float, rule: LimitRule) -> None:
        """Learn what this part keeps of the patch scores (n, H, W) of a task's normal images."""


class ImageDecision(Decision):
    """An image is anomalous when its score is above its task's threshold."""

    def forward(self, patches: Tensor, images: Tensor, reference: ScoreReference, task: str) -> Tensor:
        """(B, H, W), (B,) -> (B,) bool."""
        return images.double() > reference.threshold

    def learn(self, patches: Tensor, task: str, rate: float, rule: LimitRule) -> None:
        """The reference knows the threshold."""


class RegionLimits(nn.Module):
    """The limit of each region's score, (G, G), float64; NaN where too few normal images were seen."""

    limits: Tensor

    def __init__(self, task: Task, grid: int):
        super().__init__()
        self.register_buffer("limits", torch.full((grid, grid), torch.nan, dtype=torch.float64))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the grid from what is loaded."""
        take_shape(self, "limits", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class RegionDecision(Decision):
    """An image is anomalous when a region's highest patch score is above that region's limit μ_r + q·σ_r.

    μ_r and σ_r are mean and standard deviation (n − 1) of the region's score r over the task's normal images. The one q
    of a task is the limit, by the task's rule, of max_r (s_r − μ_r)/σ_r, each image measured by the moments of all the
    others: so the promised rate is that of images, however many regions there are. With fewer than three normal images
    the image's own threshold decides.

    Args:
        grid: regions G on each side.
    """

    def __init__(self, grid: int):
        super().__init__()
        self.grid = grid
        self.regions = PerTask(lambda task: RegionLimits(task, grid))

    def forward(self, patches: Tensor, images: Tensor, reference: ScoreReference, task: str) -> Tensor:
        """(B, H, W), (B,) -> (B,) bool."""
        limits = self.regions[task].limits
        beyond = (self.scores(patches) > limits.flatten()).any(1)
        return torch.where(limits.isnan().any(), images.double() > reference.threshold, beyond)

    def learn(self, patches: Tensor, task: str, rate: float, rule: LimitRule) -> None:
        """Set the limits from patch scores (n, H, W) of normal images."""
        scores = self.scores(patches)
        limits = scores.new_full((self.grid**2,), torch.nan)
        if len(scores) >= FEWEST:
            mean, std = scores.mean(0), spread(scores)
            limits = mean + rule(left_out_z(scores).amax(1).sort().values, rate) * std
        self.regions[task].limits.copy_(limits.reshape(self.grid, self.grid))

    def scores(self, patches: Tensor) -> Tensor:
        """The highest patch score of each region, float64: (n, H, W) -> (n, G²)."""
        return adaptive_max_pool2d(patches[:, None].double(), self.grid).flatten(1)


def spread(scores: Tensor) -> Tensor:
    """Standard deviation (n − 1) over the first of (n, k), never zero, (k,)."""
    return scores.std(0).clamp_min(1e-9)


def left_out_z(scores: Tensor) -> Tensor:
    """Each row of (n, k) in standard deviations from the mean of all the other rows, (n, k)."""
    n = len(scores)
    mean = (scores.sum(0) - scores) / (n - 1)
    off = scores - scores.mean(0)
    squares = (off.square().sum(0) - off.square() * n / (n - 1)).clamp_min(0)
    return (scores - mean) / (squares / (n - 2)).sqrt().clamp_min(1e-9)
