"""What every peer promises."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_tensors, write_tensors

FEATURES, IMAGES = "features", "images"
"""What a peer is shown: patch features (B, H, W, D), or images in 0..1 (B, 3, h, h)."""


class PeerScores(NamedTuple):
    """Scores of a batch of images: higher is more anomalous.

    Attributes:
        images: (B,).
        maps: pixel maps, (B, h, h).
    """

    images: np.ndarray
    maps: np.ndarray


class Peer(ABC):
    """A detector of one set of normal images.

    Attributes:
        sees: ``FEATURES``: it is shown the features that every other method sees, never an image; ``IMAGES``: it has
            networks of its own.
    """

    sees: ClassVar[str] = FEATURES

    @abstractmethod
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Learn from all normal images; what was learned before is gone.

        Args:
            batches: what it ``sees``, float32.
            held_out: more of it that nothing is learned from but when to stop; where there is none, a peer that needs
                some takes a tenth of the others.
        """

    @abstractmethod
    def score(self, features: Tensor) -> PeerScores:
        """Score a batch of what it ``sees``; the scores of an image do not depend on the others beside it.

        Raises:
            MoleflowError: nothing was fitted.
        """

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All that was learned and is needed to score images, without what is the same for every class (a frozen
        network)."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Be as the peer was that gave this state; options must be the same as that one's."""

    @property
    def bytes(self) -> int:
        """What it keeps to score images."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state().values())

    def save(self, path: Path) -> None:
        """Write the state to a safetensors file. Raises MoleflowError where that cannot be done."""
        write_tensors(path, self.state())

    def load(self, path: Path) -> None:
        """Read what ``save`` wrote.

        Raises:
            MoleflowError: the file is missing or damaged, or another peer's.
        """
        state = read_tensors(path)
        try:
            self.load_state(state)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise MoleflowError(f"{path} does not fit the peer {type(self).__name__}: {reason[:200]}") from error
