"""F7: complete separation, where a part that tasks would share is each task's own."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import Tensor

from moleflow.models.stages import InvertibleStage, Mapping
from moleflow.models.task import PerTask


class SeparatedMapping(Mapping):
    """A copy of a mapping for each task; its whole weights learn in that task and belong to its expert.

    Args:
        make: makes the mapping. What is per task within it gets the one task of its copy.
    """

    def __init__(self, make: Callable[[], Mapping]):
        super().__init__()
        self.own = PerTask(lambda task: make())

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D) by the task's copy."""
        return self.own[task](x, task)


class SeparatedStage(InvertibleStage):
    """A copy of a bijection for each task; its whole weights learn in that task and belong to its expert.

    Args:
        make: makes the stage. What is per task within it gets the one task of its copy.
    """

    def __init__(self, make: Callable[[], InvertibleStage]):
        super().__init__()
        self.own = PerTask(lambda task: make())

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W) by the task's copy."""
        return self.own[task](x, task)

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D), undoing ``forward``."""
        return self.own[task].inverse(z, task)

    def looking_at(self, places: Tensor | None, task: str) -> AbstractContextManager[None]:
        """Tell the task's copy."""
        return self.own[task].looking_at(places, task)
