"""What every router does: keep statistics per task, and name a task for each image."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.routing.statistics import RouterStatistics, image_features
from moleflow.models.task import PerTask
from moleflow.utils.errors import UsageError

MeanNll = Callable[[Tensor, str], Tensor]
"""(features (B, H, W, D), task) -> mean NLL of each image, (B,)."""


class Router(nn.Module):
    """Names the task of each image from its mean feature; distances are to each class's prototype.

    What is derived from the tasks' statistics is computed once, when first asked for, over tasks in sorted-name order:
    it does not depend on the order in which tasks came.

    Attributes:
        chooses: whether it chooses by itself, so that its accuracy means something.
        revision: grows whenever distances may have changed.

    Args:
        dim: channels D.
    """

    chooses = True

    def __init__(self, dim: int):
        super().__init__()
        self.statistics = PerTask(lambda task: RouterStatistics(task, dim))
        self._tasks: list[str] = []
        self._owners: list[str] = []
        self._columns = torch.empty(0, dtype=torch.long)
        self._means = torch.empty(0)
        self.revision = 0

    @property
    def tasks(self) -> list[str]:
        """The tasks to choose from, sorted."""
        return self._tasks

    def end_task(self, task: Task, batches: Batches) -> None:
        """Keep the task's statistics."""
        self.statistics[task.name].learn(batches)
        self.experts_changed()

    def experts_changed(self) -> None:
        """Forget what was derived."""
        self._owners = []
        self.revision += 1

    def know(self, tasks: Sequence[str]) -> None:
        """Say among which tasks to choose."""
        self._tasks = sorted(tasks)
        self.experts_changed()

    def forward(
        self, features: Tensor, given: Sequence[str] | None = None, mean_nll: MeanNll | None = None
    ) -> list[str]:
        """Task of each image.

        Args:
            features: (B, H, W, D).
            given: the true tasks, where known; only the oracle looks at them.
            mean_nll: the flow's opinion; only routers that ask for likelihoods look at it.
        """
        nearest = self.distances(image_features(features)).argmin(1)
        return [self._owners[index] for index in nearest.tolist()]

    def distances(self, images: Tensor) -> Tensor:
        """Squared distance of each image feature to each class's prototype: (B, D) -> (B, prototypes), float64."""
        if not self._owners:
            self._derive()
        return self._distances(images)

    def task_distances(self, images: Tensor) -> Tensor:
        """Squared distance of each image feature to each task's nearest prototype: (B, D) -> (B, tasks), float64."""
        distances = self.distances(images)
        nearest = distances.new_full((len(images), len(self.tasks)), torch.inf)
        return nearest.scatter_reduce(1, self._columns.expand_as(distances), distances, "amin")

    def distances_to(self, images: Tensor, tasks: Sequence[str]) -> Tensor:
        """Squared distance of each image feature to its given task's nearest prototype: (B, D) -> (B,), float64."""
        column = {task: index for index, task in enumerate(self.tasks)}
        columns = torch.tensor([column[task] for task in tasks], dtype=torch.long, device=images.device)
        return self.task_distances(images).gather(1, columns[:, None])[:, 0]

    def _derive(self) -> None:
        if not self._tasks:
            raise UsageError("The router knows no task yet: train or load at least one expert before predicting.")
        parts = [self.statistics[task] for task in self._tasks]
        self._owners = [task for task, part in zip(self._tasks, parts, strict=True) for _ in range(len(part.count))]
        self._means = torch.cat([part.mean for part in parts])
        sizes = torch.tensor([len(part.count) for part in parts])
        self._columns = torch.arange(len(parts)).repeat_interleave(sizes).to(self._means.device)
        self._fit(parts)

    @abstractmethod
    def _fit(self, parts: list[RouterStatistics]) -> None:
        """Compute what distances need from the tasks' statistics."""

    @abstractmethod
    def _distances(self, images: Tensor) -> Tensor:
        """(B, D) -> (B, prototypes)."""
