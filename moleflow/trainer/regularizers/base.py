"""The contract of a protector: what keeps shared weights that go on learning from forgetting."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import Learner


class Learned(NamedTuple):
    """A task whose training is over, as a protector looks back on it.

    Attributes:
        model: the model; shared weights may be differentiated.
        task: the task.
        normal: the features it was trained on.
        shared: the shared weights that later tasks will move.
        loss: the loss it was trained by, of features (B, H, W, D).
    """

    model: MoLEFlow
    task: Task
    normal: TaskFeatures
    shared: Sequence[Learner]
    loss: Callable[[Tensor], Tensor]


class Protector:
    """Protects nothing; protectors override what they need.

    It is asked only where shared weights learn. What it keeps from task to task is its ``state``, by which a resumed
    run goes on; it is as large as the base or larger, and no task's expert holds any of it.
    """

    def begin(self, model: MoLEFlow, task: Task) -> None:
        """Shared weights are about to be moved by a task."""

    def loss(self, step: Step) -> Tensor:
        """A summand of the step's loss, a scalar."""
        return torch.zeros((), device=step.latent.z.device)

    def after_update(self, shared: Sequence[Learner]) -> None:
        """The optimizer has moved these shared weights."""

    def end(self, learned: Learned) -> None:
        """A task's training is over: remember of it what later tasks must not harm."""

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs, by name; empty where it needs nothing."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take what ``state`` gave."""

    def position(self) -> dict[str, Tensor]:
        """What changes from step to step of a task besides weights (random numbers), by name; usually nothing."""
        return {}

    def go_on(self, position: dict[str, Tensor]) -> None:
        """Take what ``position`` gave; the task has begun."""
