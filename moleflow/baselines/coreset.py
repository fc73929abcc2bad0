"""A coreset of normal patches: PatchCore's idea in few lines, for streams, without anomalib."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.trained import smooth_scores
from moleflow.models.views.patch_memory import spread_out
from moleflow.utils.errors import MoleflowError

PROJECTION = 64
"""Channels of the random projection that the coreset is chosen in."""
CANDIDATES = 500_000
"""Patches that it is chosen among, at most: all of 480 images on a 32×32 grid, in about a minute."""
PATCHES_AT_ONCE = 4096


def coreset(patches: Tensor, ratio: float, candidates: int, seed: int) -> Tensor:
    """Patches that cover all, (n, D) -> (ratio · n, D): greedy k-centre in a random projection (Roth et al., §3.2).

    Args:
        patches: all of them.
        ratio: share that is kept; at least one patch is.
        candidates: how many they are chosen among, at most, drawn at random; never fewer than are kept.
        seed: of the draw, which also says where the choice starts, and of the projection.
    """
    kept = max(1, int(ratio * len(patches)))
    random = torch.Generator().manual_seed(seed)
    drawn = patches[torch.randperm(len(patches), generator=random)[: max(kept, candidates)]]
    if kept == len(drawn):
        return drawn
    projection = torch.randn(patches.shape[1], PROJECTION, generator=random) / PROJECTION**0.5
    return drawn[spread_out(drawn @ projection, kept).chosen]


class Coreset(Peer):
    """Distance of each patch to the nearest kept one (Roth et al., CVPR 2022); image score: the largest, smoothed.

    Args:
        img_size: side h of the pixel maps.
        coreset_ratio: share of the training patches that is kept.
        candidates: patches that they are chosen among, at most.
        seed: of the draw.
    """

    def __init__(self, img_size: int = 256, coreset_ratio: float = 0.01, candidates: int = CANDIDATES, seed: int = 0):
        self.img_size, self.ratio, self.candidates, self.seed = img_size, coreset_ratio, candidates, seed
        self.bank = torch.empty(0)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Choose the patches."""
        patches = torch.cat([batch.flatten(0, 2) for batch in batches])
        self.bank = coreset(patches, self.ratio, self.candidates, self.seed)

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Distances, enlarged and smoothed."""
        if not len(self.bank):
            raise MoleflowError("Coreset has an empty bank: call fit or load before score.")
        patches = features.flatten(0, 2).split(PATCHES_AT_ONCE)
        distances = torch.cat([torch.cdist(some, self.bank).amin(1) for some in patches])
        images, maps = smooth_scores(distances.reshape(features.shape[:3]), self.img_size)
        return PeerScores(images.numpy(), maps.numpy())

    def state(self) -> dict[str, Tensor]:
        """The bank."""
        return {"bank": self.bank}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it."""
        self.bank = state["bank"]
