"""How a run's router decided on its test images: margins and confusion."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from moleflow.analysis.intervals import Interval, share_interval
from moleflow.models.routing.base import Router


@dataclass(frozen=True)
class Decisions:
    """What a router said of images whose task is known.

    Attributes:
        tasks: names, sorted.
        true: index of each image's task, (n,).
        distances: squared distance to each task's nearest prototype, (n, T).
    """

    tasks: tuple[str, ...]
    true: np.ndarray
    distances: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """Index of the nearest task, (n,)."""
        return self.distances.argmin(1)

    @property
    def accuracy(self) -> Interval:
        """Share of images sent to their task."""
        return share_interval(int((self.chosen == self.true).sum()), len(self.true))

    @property
    def margins(self) -> np.ndarray:
        """Distance to the nearest other task over distance to the own one, (n,): above 1 the image is routed right.

        Both are Mahalanobis distances (roots of the squares).
        """
        rows = np.arange(len(self.true))
        others = self.distances.copy()
        others[rows, self.true] = np.inf
        return np.sqrt(others.min(1) / self.distances[rows, self.true])

    @property
    def confusion(self) -> np.ndarray:
        """Images of the row's task that were sent to the column's, (T, T)."""
        table = np.zeros((len(self.tasks), len(self.tasks)), dtype=int)
        np.add.at(table, (self.true, self.chosen), 1)
        return table


def decide(router: Router, images: Mapping[str, Tensor]) -> Decisions:
    """Distances of images to every task the router knows.

    Args:
        router: a router that knows its tasks.
        images: task -> image features (n, D), float64.
    """
    tasks = tuple(router.tasks)
    true = np.concatenate([np.full(len(rows), tasks.index(task)) for task, rows in images.items()])
    distances = router.task_distances(torch.cat(list(images.values())))
    return Decisions(tasks, true, distances.cpu().numpy())
