"""The course of one task's training: where it is, and how a run that was stopped goes on from there.

A task's training up to its first step is computed again from its images; its descents come in a fixed order, so a
position is a descent's name, a step, and what moved until then.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, load_expert, tell_experts_changed
from moleflow.trainer.choosing import Choosing, Row
from moleflow.trainer.descent import Descent, Motion
from moleflow.trainer.progress_file import NoProgress, Position
from moleflow.trainer.regularizers.base import Protector
from moleflow.utils.interrupt import asked_to_stop, stop_if_asked

Log = Callable[[Task, int, dict[str, float]], None]
"""Called with the task, the step and the values to log."""


class Course:
    """One task's training, from step to step.

    Args:
        model: the model; the task has begun and is prepared.
        task: the task.
        normal: the features it trains on.
        batch_size: images a step; a position that is taken up knows better.
        protector: what protects shared weights.
        keeper: where positions are kept.
        log: where rows go; those of a position that is taken up again go there first.
        owner: the rest of what tells this training from others.

    Attributes:
        batch_size: images a step.
        choosing: sizes that were tried, where some part leaves its size open.
    """

    def __init__(
        self,
        model: MoLEFlow,
        task: Task,
        normal: TaskFeatures,
        batch_size: int,
        protector: Protector,
        keeper: NoProgress,
        log: Log,
        owner: Callable[[], Sequence[str]],
    ):
        self.model, self.task, self.normal, self.protector, self.keeper = model, task, normal, protector, keeper
        self.choosing = Choosing()
        self.batch_size = batch_size
        self._to = log
        self._rows: list[Row] = []
        self._bytes = 0
        self._left = keeper.read(lambda: _digest([*owner(), normal.identity(), *layout(model, task)]))
        if self._left is not None:
            self._take_up(self._left)

    def log(self, task: Task, step: int, values: dict[str, float]) -> None:
        """Log a row, and remember it."""
        self._rows.append((task, step, values))
        self._to(task, step, values)

    def is_past(self, descent: Descent) -> bool:
        """Whether the position that is taken up lies in a later descent; the task's main one comes first."""
        return self._left is not None and self._left.values["descent"] != descent.name

    def enter(self, descent: Descent, motion: Motion) -> int:
        """Begin a descent, or go on in it.

        Returns:
            How many of its steps are done.
        """
        left, self._left = self._left, None
        if left is None:
            return 0
        part = lambda kind: {
            name.removeprefix(kind): value for name, value in left.tensors.items() if name.startswith(kind)
        }
        load_expert(self.model, self.task.name, part("expert/"))
        self.model.load_state_dict(part("base/"), strict=False)
        tell_experts_changed(self.model)
        motion.load(part("motion/"), left.values["motion"])
        self.protector.go_on(part("protector/"))
        self.normal.go_on(left.values["normal"])
        torch.set_rng_state(left.tensors["random"])
        return int(left.values["step"])

    def passed(self, descent: Descent, motion: Motion, done: int) -> None:
        """A step is over: keep the position where that is due, or where the program was asked to stop.

        Raises:
            Interrupted: it was asked to, and the position is kept.
        """
        if not self._bytes:
            self._bytes = sum(value.nbytes for value in self._tensors(descent, motion).values())
        if asked_to_stop() or self.keeper.due(self._bytes):
            self.keeper.write(Position(self._tensors(descent, motion), self._values(descent, motion, done)))
        stop_if_asked()

    def _tensors(self, descent: Descent, motion: Motion) -> dict[str, Tensor]:
        kinds = {
            "expert/": expert_state(self.model, self.task.name),
            "base/": base_state(self.model) if descent.shared else {},
            "motion/": motion.tensors(),
            "protector/": self.protector.position(),
            "best/": self.choosing.tensors(),
        }
        named = {kind + name: value for kind, state in kinds.items() for name, value in state.items()}
        return {"random": torch.get_rng_state(), **named}

    def _values(self, descent: Descent, motion: Motion, done: int) -> dict[str, Any]:
        return {
            "descent": descent.name,
            "batch_size": descent.batch_size,
            "step": done,
            "motion": motion.values(),
            "normal": self.normal.position(),
            "rows": [row[1:] for row in self._rows],
            "choosing": self.choosing.values(),
        }

    def _take_up(self, left: Position) -> None:
        self.batch_size = int(left.values["batch_size"])
        best = {name.removeprefix("best/"): value for name, value in left.tensors.items() if name.startswith("best/")}
        self.choosing.load(self.task, best, left.values["choosing"])
        for step, values in left.values["rows"]:
            self.log(self.task, step, values)


def layout(model: MoLEFlow, task: Task) -> list[str]:
    """Name and shape of each tensor that training the task may move."""
    state = {**base_state(model), **expert_state(model, task.name)}
    return [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in state.items()]


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
