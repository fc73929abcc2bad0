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


def keep_likeliest(
    model: MoLEFlow, part: HasChoices, task: Task, fit: Callable[[Any], None], judge: Callable[[], float]
) -> Candidate:
    """Train the task with each of a part's sizes and keep the one that is judged lowest, the smaller of equals.

    Args:
        model: the model; what tasks share must not move while ``fit`` trains.
        part: the part whose size is open.
        task: the task, which has begun.
        fit: trains it, given where to log.
        judge: the mean NLL of what was trained, in nats a patch.
    """
    start = _copied(expert_state(model, task.name))
    best: Candidate | None = None
    for choice in part.choices(task):
        load_expert(model, task.name, start)
        part.choose(task, choice)
        rows: list[Row] = []
        fit(lambda *row, rows=rows: rows.append(row))
        nll = judge()
        if best is None or nll < best.nll:
            best = Candidate(choice, nll, _copied(expert_state(model, task.name)), rows)
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
