"""Choosing a part's size for a task: every size is trained from one start, the likeliest is kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import HasChoices, expert_state, load_expert, tell_experts_changed
from moleflow.utils.log import say

Row = tuple[Task, int, dict[str, float]]
"""What one call of a trainer's log was given."""


class Candidate(NamedTuple):
    """A size that was tried.

    Attributes:
        choice: the size.
        nll: what it was judged by.
        expert: the expert that came of it.
        rows: what its training logged.
    """

    choice: int
    nll: float
    expert: dict[str, Tensor]
    rows: list[Row]


class Choosing:
    """The sizes that were tried so far: how many, the best, and what the one that is being tried has logged."""

    def __init__(self) -> None:
        self.tried = 0
        self.best: Candidate | None = None
        self.rows: list[Row] = []

    def log(self, *row: Any) -> None:
        """Keep a row back until its candidate is chosen."""
        self.rows.append(row)

    def judge(self, model: MoLEFlow, task: Task, choice: int, nll: float) -> None:
        """The size is trained: keep it where it is better than those before."""
        if self.best is None or nll < self.best.nll:
            self.best = Candidate(choice, nll, _copied(expert_state(model, task.name)), self.rows)
        self.tried, self.rows = self.tried + 1, []

    def tensors(self) -> dict[str, Tensor]:
        """The best candidate's expert; empty where there is none."""
        return self.best.expert if self.best else {}

    def values(self) -> dict[str, Any]:
        """The rest, as JSON can hold it."""
        best = self.best and {"choice": self.best.choice, "nll": self.best.nll, "rows": _plain(self.best.rows)}
        return {"tried": self.tried, "rows": _plain(self.rows), "best": best}

    def load(self, task: Task, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from what ``tensors`` and ``values`` gave."""
        of_task = lambda rows: [(task, step, logged) for step, logged in rows]
        self.tried, self.rows, best = values["tried"], of_task(values["rows"]), values["best"]
        self.best = Candidate(best["choice"], best["nll"], tensors, of_task(best["rows"])) if best else None


def keep_likeliest(
    model: MoLEFlow,
    part: HasChoices,
    task: Task,
    fit: Callable[[Any], None],
    judge: Callable[[], float],
    choosing: Choosing | None = None,
) -> Candidate:
    """Train the task with each of a part's sizes and keep the one that is judged lowest, the smaller of equals.

    Args:
        model: the model; what tasks share must not move while ``fit`` trains.
        part: the part whose size is open.
        task: the task, which has begun.
        fit: trains it, given where to log.
        judge: the mean NLL of what was trained, in nats a patch.
        choosing: what was tried before the run was stopped; it is brought up to date.
    """
    choosing = choosing or Choosing()
    start = _copied(expert_state(model, task.name))
    for choice in part.choices(task)[choosing.tried :]:
        load_expert(model, task.name, start)
        part.choose(task, choice)
        fit(choosing.log)
        choosing.judge(model, task, choice, judge())
    best = choosing.best
    assert best is not None, "a part with choices names some"
    load_expert(model, task.name, best.expert)
    say(f"  {task.name}: {best.choice} of {list(part.choices(task))} are kept, mean NLL {best.nll:.3f}")
    return best


@torch.no_grad()
def mean_nll(model: MoLEFlow, task: Task, batches: Batches) -> float:
    """Mean NLL over images and patches as products of the task, in nats a patch."""
    values = [model.mean_nll(batch.features, task.name).double() for batch in batches()]
    tell_experts_changed(model)  # what was derived on the way is of an expert that may not be kept
    return float(torch.cat(values).mean())


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def _plain(rows: list[Row]) -> list[Any]:
    return [row[1:] for row in rows]
