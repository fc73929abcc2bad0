"""Which experts are in memory: all of them, or those used last, the others read again when they are asked for."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.task import PerTask, fill_copy, per_task_parts, tell_experts_changed

ALWAYS_THERE = ("router", "open_set", "reference", "decision")
"""Parts of the model that look at every task whatever the image: a few kilobytes a task."""


class Experts(ABC):
    """Sees to it that a task's expert is in memory before it is used."""

    @abstractmethod
    def use(self, task: str) -> None:
        """The task's expert is about to be used."""


class AllInMemory(Experts):
    """Every expert stays."""

    def use(self, task: str) -> None:
        """Nothing to do."""


class ExpertFiles(Protocol):
    """Where experts can be read."""

    def holds(self, task: str) -> bool:
        """Whether the task's expert is there."""

    def expert(self, task: str) -> Mapping[str, Tensor]:
        """Its tensors, as ``expert_state`` gave them."""


class LastUsed(Experts):
    """Experts are given up, those not used for longest first, while all take more than a limit; and read again.

    An expert that is read again has the bytes it had, so scores do not change. One that is in no file yet stays, and so
    does the one in use: the limit is exceeded where that one alone does. What router, references and thresholds know
    of a task is small and always there.

    Args:
        model: whose experts.
        tasks: name -> task, all that the model knows.
        files: where experts that were given up are read.
        limit: bytes.
    """

    def __init__(self, model: nn.Module, tasks: Mapping[str, Task], files: ExpertFiles, limit: int):
        self.model, self.tasks, self.files, self.limit = model, tasks, files, limit
        self._sizes: OrderedDict[str, int] = OrderedDict()

    @property
    def bytes(self) -> int:
        """What the experts take that are in memory."""
        return sum(self._sizes.values())

    @property
    def in_memory(self) -> list[str]:
        """Their tasks, the one used last at the end."""
        return list(self._sizes)

    def use(self, task: str) -> None:
        """Read the expert if it was given up, then give up others until all are within the limit."""
        if task not in self._sizes:
            if any(task not in part for _, part in self._parts()):
                self._read(task)
            self._sizes[task] = sum(
                value.nbytes for _, part in self._parts() for value in part[task].state_dict().values()
            )
        self._sizes.move_to_end(task)
        for other in self.in_memory[:-1]:
            if self.bytes > self.limit and (other not in self.tasks or self.files.holds(other)):
                self._give_up(other)

    def _parts(self) -> list[tuple[str, PerTask]]:
        return [(path, part) for path, part in per_task_parts(self.model) if path.split(".")[0] not in ALWAYS_THERE]

    def _read(self, task: str) -> None:
        state, device = self.files.expert(task), next(self.model.buffers()).device
        for path, part in self._parts():
            with torch.random.fork_rng(devices=[]):  # first weights are drawn, and overwritten
                part.begin(self.tasks[task])
            part.freeze(task, device)
            fill_copy(part, path, task, state)

    def _give_up(self, task: str) -> None:
        del self._sizes[task]
        for _, part in self._parts():
            if task in part:
                part.drop(task)
        for name, child in self.model.named_children():
            if name not in ALWAYS_THERE:
                tell_experts_changed(child)
