"""V: from the flow's patch scores and what else is known to those that are shown and those that judge an image."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

from torch import Tensor, nn


class Fused(NamedTuple):
    """Patch scores (B, H, W) for two questions.

    Attributes:
        where: those that the map shows.
        whether: those that the image's score is taken from.
    """

    where: Tensor
    whether: Tensor


class FlowScores(Protocol):
    """The flow's patch scores of some features, computed when they are asked for."""

    def __call__(self, places: Tensor | None = None) -> Tensor:
        """All (B, H, W), or those at places (B, K) of the flattened grid, (B, K)."""


class Fusion(nn.Module, ABC):
    """The flow's patch scores, fused with further opinions."""

    @property
    def asks_all(self) -> bool:
        """Whether the flow is asked about every patch (V5)."""
        return True

    def asking_all(self) -> AbstractContextManager[None]:
        """Ask the flow about every patch meanwhile."""
        return nullcontext()

    @abstractmethod
    def forward(self, flow: FlowScores, features: Tensor, task: str) -> Fused:
        """Scores of the flow and the features (B, H, W, D) they are of."""


class FlowAlone(Fusion):
    """Nothing is fused: the flow answers both."""

    def forward(self, flow: FlowScores, features: Tensor, task: str) -> Fused:
        """The flow's scores, twice."""
        scores = flow()
        return Fused(scores, scores)
