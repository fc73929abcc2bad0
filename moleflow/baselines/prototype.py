"""The least there is: one mean feature."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.trained import smooth_scores
from moleflow.utils.errors import MoleflowError


class Prototype(Peer):
    """Distance to the mean of normal images' pooled features, each channel in units of its spread.

    An image's pooled feature is the mean over its grid; its score is ‖(x − μ)/σ‖ with σ over normal images. A patch's
    score is the same with μ and σ of normal patches.

    Args:
        img_size: side h of the pixel maps.
        seed: of nothing.
    """

    def __init__(self, img_size: int = 256, seed: int = 0):
        self.img_size = img_size
        self.facts: dict[str, Tensor] = {}

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Means and spreads."""
        features = torch.cat(list(batches))
        pooled = features.mean((1, 2))
        self.facts = {
            "mean": pooled.mean(0),
            "spread": _spread(pooled),
            "patch_spread": _spread(features.flatten(0, 2)),
        }

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Distances."""
        if not self.facts:
            raise MoleflowError("Prototype has no mean: call fit or load before score.")
        away = features - self.facts["mean"]
        _, maps = smooth_scores((away / self.facts["patch_spread"]).norm(dim=-1), self.img_size)
        images = (away.mean((1, 2)) / self.facts["spread"]).norm(dim=-1)
        return PeerScores(images.numpy(), maps.numpy())

    def state(self) -> dict[str, Tensor]:
        """The facts."""
        return self.facts

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them."""
        self.facts = {name: state[name] for name in ("mean", "spread", "patch_spread")}


def _spread(rows: Tensor) -> Tensor:
    """Standard deviation of each channel, never zero: (n, D) -> (D,)."""
    spread = rows.std(0, correction=0)
    return spread.clamp_min(1e-3 * spread.mean().clamp_min(1e-6))
