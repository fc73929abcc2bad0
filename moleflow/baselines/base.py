"""What every peer promises."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from torch import Tensor


class PeerScores(NamedTuple):
    """Scores of a batch of images: higher is more anomalous.

    Attributes:
        images: (B,).
        maps: pixel maps, (B, h, h).
    """

    images: np.ndarray
    maps: np.ndarray


class Peer(ABC):
    """A detector of one set of normal images; it sees the features that every other method sees, never an image."""

    @abstractmethod
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn from all features of normal images, float32 (B, H, W, D) a batch; what was learned before is gone."""

    @abstractmethod
    def score(self, features: Tensor) -> PeerScores:
        """Score features (B, H, W, D).

        Raises:
            MoleflowError: nothing was fitted.
        """

    @property
    @abstractmethod
    def bytes(self) -> int:
        """What it keeps to score images, in bytes of float32 (and of the indices it needs)."""
