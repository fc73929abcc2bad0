"""S1: what turns the data path into patch scores, and what may transform them afterwards."""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from moleflow.models.stages import Latent


class DataPath(Protocol):
    """What a scorer may ask of the model."""

    def likelihood(self, features: Tensor, task: str) -> Latent:
        """The data path after the backbone."""

    def likelihood_in_place(self, x: Tensor, task: str) -> Latent:
        """The data path after the position."""


class PatchScorer(nn.Module, ABC):
    """Features to patch scores, through the data path."""

    @abstractmethod
    def forward(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W); higher is more anomalous."""


class NllScorer(PatchScorer):
    """S1: the negative log-likelihood, in nats."""

    def forward(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W)."""
        return path.likelihood(features, task).nll


class ScoreMapping(nn.Module, ABC):
    """Patch scores to patch scores."""

    @abstractmethod
    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """Scores (B, H, W) and the features (B, H, W, D) they are of -> (B, H, W)."""


class NoScoreMapping(ScoreMapping):
    """Patch scores stand for themselves."""

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """Return the scores."""
        return scores
