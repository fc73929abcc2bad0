"""R6: which images belong to no known task."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.routing.base import Router
from moleflow.models.routing.statistics import image_features
from moleflow.models.scoring.limits import conformal_limit
from moleflow.models.scoring.reference import take_shape
from moleflow.models.task import PerTask


class OpenSet(nn.Module, ABC):
    """Says which images look like none of the tasks.

    Attributes:
        rejects: whether it ever calls an image unknown.
    """

    rejects = True

    @abstractmethod
    def forward(self, features: Tensor, tasks: Sequence[str], router: Router) -> Tensor:
        """Features (B, H, W, D) of images and the task each was routed to -> (B,) bool."""


class ClosedSet(OpenSet):
    """Every image belongs to one of the tasks."""

    rejects = False

    def forward(self, features: Tensor, tasks: Sequence[str], router: Router) -> Tensor:
        """All false."""
        return torch.zeros(len(features), dtype=torch.bool, device=features.device)


class HeldOutImages(nn.Module):
    """Mean features (n, D) of a task's held-out normal images, float64."""

    images: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("images", torch.zeros(0, dim, dtype=torch.float64))

    def learn(self, batches: Batches) -> None:
        """Keep the images' mean features."""
        self.images = torch.cat([self.images[:0], *(image_features(batch.features) for batch in batches())])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the number of images from what is loaded."""
        take_shape(self, "images", state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Reject(OpenSet):
    """R6: an image is unknown when it is farther from its routed task's prototype than the task's limit.

    The limit is the split-conformal quantile of the distances of the task's held-out normal images to their own task's
    nearest prototype: a new normal image of the task exceeds it with at most the promised probability, where there are
    at least 1/rate − 1 held-out images (with fewer, the largest distance is the limit; with none, nothing is rejected).

    The router's pooled covariance moves as tasks arrive, and distances with it. So an expert keeps its held-out images'
    mean features, not their distances; limits are derived when asked for, and again when the router has changed.

    Args:
        dim: channels D.
        rate: share of known normal images that may be called unknown.
    """

    def __init__(self, dim: int, rate: float):
        super().__init__()
        self.rate = rate
        self.held_out = PerTask(lambda task: HeldOutImages(dim))
        self._limits: dict[str, float] = {}
        self._revision = -1

    def forward(self, features: Tensor, tasks: Sequence[str], router: Router) -> Tensor:
        """Whether each image lies beyond its task's limit."""
        distances = router.distances_to(image_features(features), tasks)
        limits = [self.limit(task, router) for task in tasks]
        return distances > distances.new_tensor(limits)

    def limit(self, task: str, router: Router) -> float:
        """The largest squared distance at which an image still counts as the task's; NaN without held-out images."""
        if router.revision != self._revision:
            self._limits.clear()
            self._revision = router.revision
        if task not in self._limits:
            images = self.held_out[task].images
            distances = router.distances_to(images, [task] * len(images))
            self._limits[task] = conformal_limit(distances.sort().values, self.rate).item()
        return self._limits[task]

    def learn_from_held_out(self, task: Task, held_out: Batches, model: Any) -> None:
        """Keep the held-out images' mean features."""
        self.held_out[task.name].learn(held_out)
        self._limits.clear()

    def experts_changed(self) -> None:
        """Forget the limits."""
        self._limits.clear()
