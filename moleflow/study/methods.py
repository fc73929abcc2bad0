"""What the study asks of a method, and the methods there are."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.base import Peer
from moleflow.study.bench import Bench


class Verdict(NamedTuple):
    """What a detector says of images: higher is more anomalous.

    Attributes:
        images: image scores (n,).
        maps: pixel maps (n, h, h).
        at_home: whether each image was scored by the expert that its class and severity should have, (n,) bool; None
            where the method has no choice.
        at_home_images: image scores (n,) under that expert; None likewise.
    """

    images: np.ndarray
    maps: np.ndarray
    at_home: np.ndarray | None = None
    at_home_images: np.ndarray | None = None


class Detector(ABC):
    """A method fitted to some images.

    Attributes:
        seconds: how long that took.
        bytes: what it keeps for its classes.
        details: what only this method can say.
    """

    seconds: float
    bytes: int
    details: Mapping[str, Any]

    @abstractmethod
    def score(self, features: Tensor, class_name: str, severity: str) -> Verdict:
        """Score features (n, H, W, D) of images of one class and severity, which only the bookkeeping may look at
        where the method chooses its expert itself."""


class Method(ABC):
    """A way to make detectors.

    Args:
        bench: images and features.
    """

    def __init__(self, bench: Bench):
        self.bench = bench

    @abstractmethod
    def fitted(self, severity: str, classes: tuple[str, ...]) -> Detector:
        """A detector for the training images of classes in one severity; several classes make one model of all."""


@dataclass(frozen=True)
class PeerDetector(Detector):
    """A peer that was fitted; it is told nothing but features.

    Attributes:
        peer: the peer.
        seconds: how long that took.
    """

    peer: Peer
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:  # type: ignore[override]
        """What the peer keeps."""
        return self.peer.bytes

    def score(self, features: Tensor, class_name: str, severity: str) -> Verdict:
        """The peer's scores."""
        found = self.peer.score(features)
        return Verdict(found.images, found.maps)


class PeerMethod(Method):
    """A peer of ``moleflow.baselines``: a model a class, fitted anew to each severity.

    Args:
        bench: images and features.
        name: the peer.
        options: what it takes beside the size of maps and the seed.
    """

    def __init__(self, bench: Bench, name: str, **options: Any):
        super().__init__(bench)
        self.name, self.options = name, options

    def fitted(self, severity: str, classes: tuple[str, ...]) -> PeerDetector:
        """Fit the peer to all training images of the classes together."""
        samples = [sample for name in classes for sample in self.bench.part(severity, name, "train")]
        batches = list(self.bench.batches(samples))
        start = time.perf_counter()
        peer = get_model(self.name, img_size=self.bench.img_size, seed=self.bench.seed, **self.options)
        peer.fit(batches)
        return PeerDetector(peer, time.perf_counter() - start)


def _new(bench: Bench) -> Method:
    from moleflow.study.moleflow_methods import NewTask

    return NewTask(bench)


def _update(bench: Bench) -> Method:
    from moleflow.study.moleflow_methods import UpdatedExpert

    return UpdatedExpert(bench)


METHODS: dict[str, Callable[[Bench], Method]] = {
    "moleflow-new": _new,
    "moleflow-update": _update,
    "patchcore": lambda bench: PeerMethod(bench, "patchcore"),
    "padim": lambda bench: PeerMethod(bench, "padim"),
}
"""Name -> what makes the method."""
