"""A term whose share of the loss is set from outside, and may change while a task is learned."""

from collections.abc import Callable

from torch import Tensor

from moleflow.losses.terms import LossTerm, Step

Schedule = Callable[[float], float]
"""A task's progress, 0..1 -> a weight."""


def linear(start: float, end: float) -> Schedule:
    """From ``start`` to ``end`` in a straight line."""
    return lambda progress: start + (end - start) * progress


class Weighted(LossTerm):
    """weight(progress)·term; logged, weighted, under the term's name.

    Args:
        term: the term.
        weight: its weight over a task's progress.
    """

    def __init__(self, term: LossTerm, weight: Schedule):
        self.term = term
        self.weight = weight
        self.name = term.name

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return self.weight(step.progress) * self.term(step)
