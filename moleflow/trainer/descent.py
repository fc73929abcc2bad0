"""One gradient descent of a task's training, and all that changes in it from step to step besides the weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.task import Learner
from moleflow.trainer.optimizers import adamw, image_order, warmup_cosine
from moleflow.utils.progress import progress
from moleflow.utils.seed import derive_seed


class Descent(NamedTuple):
    """What a descent is, before it begins.

    Attributes:
        name: what its random numbers are called after, empty for the task's main one.
        learning: what moves.
        lr: peak learning rate.
        steps: optimizer steps.
        batch_size: images a step, at most.
        first_step: number of its first step in the log.
    """

    name: str
    learning: list[Learner]
    lr: float
    steps: int
    batch_size: int
    first_step: int = 0

    @property
    def shared(self) -> list[Learner]:
        """What moves and belongs to all tasks."""
        return [learner for learner in self.learning if learner.shared]

    @contextmanager
    def learns(self) -> Iterator[None]:
        """Let what moves ask for gradients meanwhile; nothing else does."""
        for learner in self.learning:
            learner.parameter.requires_grad_(True)
        try:
            yield
        finally:
            for learner in self.learning:
                learner.parameter.requires_grad_(False)

    def shown(self, task: Task, normal: TaskFeatures, seed: int, done: int = 0) -> Iterator[Tensor]:
        """The features of each step that is left, under a progress bar with rate and time left.

        Args:
            task: the task.
            normal: its features.
            seed: the run's seed.
            done: steps that are done.
        """
        own = derive_seed(seed, task.name, self.name + "order")
        order = islice(image_order(len(normal), self.batch_size, self.steps, own), done, None)
        for indices in progress(order, self.steps, f"{self.name}train {task.name}", "step", done):
            yield normal.take(indices)


class Motion:
    """Optimizer, schedule and random numbers of a descent that is under way.

    Args:
        descent: the descent.
        weight_decay: of AdamW.
        warmup_epochs: epochs in which the rate rises.
        images: how many images an epoch has.
        noise: source of the steps' random numbers.
    """

    def __init__(
        self, descent: Descent, weight_decay: float, warmup_epochs: float, images: int, noise: torch.Generator
    ):
        epoch = math.ceil(images / descent.batch_size)
        self.optimizer = adamw(descent.learning, descent.lr, weight_decay)
        self.schedule = warmup_cosine(self.optimizer, round(warmup_epochs * epoch), descent.steps)
        self.noise = noise

    @property
    def lr(self) -> float:
        """The rate of the step to come."""
        return float(self.schedule.get_last_lr()[0])

    def tensors(self) -> dict[str, Tensor]:
        """Moments and random numbers, by name."""
        state = self.optimizer.state_dict()["state"]
        moments = {f"{index}.{key}": value for index, own in state.items() for key, value in own.items()}
        return {"noise": self.noise.get_state(), **moments}

    def values(self) -> dict[str, Any]:
        """The rest: what groups are set to, and where the schedule is."""
        schedule = {name: value for name, value in self.schedule.state_dict().items() if name != "lr_lambdas"}
        return {"groups": self.optimizer.state_dict()["param_groups"], "schedule": schedule}

    def load(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from what ``tensors`` and ``values`` gave."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            if key:
                state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": values["groups"]})
        self.schedule.load_state_dict({**values["schedule"], "lr_lambdas": [None] * len(values["groups"])})
        self.noise.set_state(tensors["noise"])


def noise_of(seed: int, task: str, purpose: str) -> torch.Generator:
    """A generator that belongs to (seed, task, purpose)."""
    return torch.Generator().manual_seed(derive_seed(seed, task, purpose))
