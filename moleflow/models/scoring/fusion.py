"""V: from the flow's patch scores and what else is known to those that are shown and those that judge an image."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Fused(NamedTuple):
    """Patch scores (B, H, W) for two questions.

    Attributes:
        where: those that the map shows.
        whether: those that the image's score is taken from.
    """

    where: Tensor
    whether: Tensor


class Fusion(nn.Module, ABC):
    """The flow's patch scores, fused with further opinions."""

    @abstractmethod
    def forward(self, scores: Tensor, features: Tensor, task: str) -> Fused:
        """Scores of the flow (B, H, W) and the features (B, H, W, D) they are of."""


class FlowAlone(Fusion):
    """Nothing is fused: the flow answers both."""

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Fused:
        """Return the scores."""
        return Fused(scores, scores)
