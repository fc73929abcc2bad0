"""A Gaussian for each place of a coarse grid, of low rank: no training, little to keep."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.trained import smooth_scores
from moleflow.models.views.place_gaussian import LowRankGaussians
from moleflow.utils.errors import MoleflowError

FACTS = ("mean", "whiten", "axes", "gains")


class PlaceGaussians(Peer):
    """PaDiM's idea with covariance 0.9·own + 0.1·mean over places + 1 % ridge, log-determinant included.

    Args:
        img_size: side h of the pixel maps.
        grid: places along a side, at most.
        rank: rank of what a place's covariance adds to the shared one.
        seed: of nothing.
    """

    def __init__(self, img_size: int = 256, grid: int = 16, rank: int = 32, seed: int = 0):
        self.img_size, self.grid, self.rank = img_size, grid, rank
        self.gaussians: LowRankGaussians | None = None

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Fit all Gaussians in closed form."""
        patches = torch.cat([self._places(batch) for batch in batches])
        self.gaussians = LowRankGaussians(patches.shape[1], patches.shape[2], self.rank)
        self.gaussians.learn(patches)

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Energies of the places, enlarged and smoothed; image score: the largest."""
        energy = self._fitted()(self._places(features))
        side = round(energy.shape[1] ** 0.5)
        images, maps = smooth_scores(energy.unflatten(1, (side, side)), self.img_size)
        return PeerScores(images.numpy(), maps.numpy())

    def state(self) -> dict[str, Tensor]:
        """Means, the shared whitening, and each place's axes and gains."""
        return {name: getattr(self._fitted(), name) for name in FACTS}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them."""
        places, rank, dim = state["axes"].shape
        self.gaussians = LowRankGaussians(places, dim, rank)
        self.gaussians.load_state_dict({name: state[name] for name in FACTS})

    def _fitted(self) -> LowRankGaussians:
        if self.gaussians is None:
            raise MoleflowError("PlaceGaussians has no Gaussians: call fit or load before score.")
        return self.gaussians

    def _places(self, features: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, P, D)."""
        side = min(self.grid, features.shape[1])
        return F.adaptive_avg_pool2d(features.permute(0, 3, 1, 2), side).flatten(2).transpose(1, 2)
