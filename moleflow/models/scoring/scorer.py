"""S1: what turns the data path into patch scores, and what may transform them afterwards."""

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor, nn

from moleflow.models.stages import Latent


class DataPath(Protocol):
    """What a scorer may ask of the model."""

    def likelihood(self, features: Tensor, task: str, places: Tensor | None = None) -> Latent:
        """The data path after the backbone, of all patches or of those at places (B, K) of the flattened grid."""

    def likelihood_in_place(self, x: Tensor, task: str) -> Latent:
        """The data path after the position."""


class PatchScorer(nn.Module, ABC):
    """Features to patch scores, through the data path; higher is more anomalous."""

    def forward(self, path: DataPath, features: Tensor, task: str, places: Tensor | None = None) -> Tensor:
        """(B, H, W, D) -> (B, H, W), or to the scores at places (B, K) of the flattened grid, (B, K)."""
        if places is None:
            return self.everywhere(path, features, task)
        return self.somewhere(path, features, task, places)

    @abstractmethod
    def everywhere(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W)."""

    def somewhere(self, path: DataPath, features: Tensor, task: str, places: Tensor) -> Tensor:
        """(B, H, W, D) and places (B, K) -> (B, K); a scorer that can do with less than all patches says how."""
        return self.everywhere(path, features, task).flatten(1).gather(1, places)


class NllScorer(PatchScorer):
    """S1: the negative log-likelihood, in nats."""

    def everywhere(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W)."""
        return path.likelihood(features, task).nll

    def somewhere(self, path: DataPath, features: Tensor, task: str, places: Tensor) -> Tensor:
        """(B, H, W, D) and places (B, K) -> (B, K), by a pass of these patches alone."""
        return path.likelihood(features, task, places).nll[:, 0]


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
