"""Names, and a peer that needs no anomalib."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from moleflow.baselines.base import Peer, PeerScores
from moleflow.study.bench import Bench
from moleflow.study.methods import PeerDetector, PeerMethod

CLASSES = ("fabric", "washer")
SEVERITIES = ("mild", "severe")


class MeanPeer(Peer):
    """Distance to the mean training patch.

    Args:
        img_size: side of maps.
        seed: of nothing.
    """

    def __init__(self, img_size: int, seed: int = 0):
        self.img_size = img_size

    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Keep the mean."""
        self.mean = torch.cat(list(batches)).mean((0, 1, 2))

    def score(self, features: Tensor) -> PeerScores:
        """Patch distances, enlarged; the image's score is the largest."""
        distances = (features - self.mean).norm(dim=-1)
        maps = torch.nn.functional.interpolate(distances[:, None], size=(self.img_size, self.img_size))[:, 0]
        return PeerScores(distances.amax((1, 2)).numpy(), maps.numpy())

    def state(self) -> dict[str, Tensor]:
        """The mean."""
        return {"mean": self.mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it."""
        self.mean = state["mean"]


class MeanMethod(PeerMethod):
    """The fake peer as a method; counts its fits."""

    fits: list[tuple[str, tuple[str, ...]]]

    def __init__(self, bench: Bench):
        super().__init__(bench, "mean")
        MeanMethod.fits = []

    def fitted(self, severity: str, classes: tuple[str, ...]) -> PeerDetector:
        """Fit the mean."""
        MeanMethod.fits.append((severity, classes))
        peer = MeanPeer(self.bench.img_size)
        peer.fit(list(self.bench.batches([s for name in classes for s in self.bench.part(severity, name, "train")])))
        return PeerDetector(peer, 0.5)
