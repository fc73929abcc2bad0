"""A task: the classes of products that are learned together in one step of the stream."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One step of the stream.

    Attributes:
        classes: the product classes learned together, in the stream's order.
        index: place in the stream, from 0. Only the freeze policy of shared parts may ask for it: weights, splits and
            shuffling depend on the name alone, so that tasks can be trained in any order.
    """

    classes: tuple[str, ...]
    index: int

    @property
    def name(self) -> str:
        """The task's identity: its classes, sorted and joined by ``+``."""
        return "+".join(sorted(self.classes))

    @property
    def is_before_stream(self) -> bool:
        """Whether this is the pre-training of a base, which no product belongs to."""
        return self.index < 0

    @property
    def is_first(self) -> bool:
        """Whether this task opens the stream."""
        return self.index == 0
