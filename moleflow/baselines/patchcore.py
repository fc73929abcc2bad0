"""PatchCore (Roth et al., CVPR 2022): distance to the nearest of a few kept training patches."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, ANY_LAYER, torch_model
from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.coreset import CANDIDATES, coreset
from moleflow.utils.errors import MoleflowError

DISTANCES_AT_ONCE = 25_000_000
"""100 MB of them; anomalib makes several copies."""


class PatchCore(Peer):
    """anomalib's ``PatchcoreModel`` with its memory bank, nearest neighbours, image score and map, unchanged.

    Its network is taken out: patches are the features that ``fit`` and ``score`` are given, whose 3×3 average pooling
    the extractor has done. The greedy coreset is ours: the same choice as anomalib's, in fewer random projections.

    Args:
        img_size: side h of the pixel maps.
        coreset_ratio: share of the training patches that is kept.
        candidates: patches that the coreset is chosen among, at most: more than that are drawn from at random.
        neighbors: nearest patches that weigh the image score.
        seed: seed of the draw and of the coreset's start.
    """

    def __init__(
        self,
        img_size: int = 256,
        coreset_ratio: float = 0.01,
        candidates: int = CANDIDATES,
        neighbors: int = 9,
        seed: int = 0,
    ):
        self.model = torch_model("patchcore", "PatchcoreModel")([ANY_LAYER], ANY_BACKBONE, False, neighbors).eval()
        self.model.feature_extractor = nn.Identity()
        self.img_size, self.ratio, self.candidates, self.seed = img_size, coreset_ratio, candidates, seed

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Fill the bank."""
        patches = torch.cat([batch.flatten(0, 2) for batch in batches])
        self.model.memory_bank = coreset(patches, self.ratio, self.candidates, self.seed)

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Patch score: distance to the nearest kept patch; image score: the largest, reweighted (the paper's eq. 7)."""
        distances, nearest = self.nearest(features)
        patches = features.reshape(-1, features.shape[-1])
        images = self.model.compute_anomaly_score(distances.flatten(1), nearest.flatten(1), patches)
        maps = self.model.anomaly_map_generator(distances[:, None], (self.img_size, self.img_size))
        return PeerScores(images.numpy(), maps[:, 0].numpy())

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest kept patch, and its number in the bank: (B, H, W, D) -> (B, H, W) each.

        Raises:
            MoleflowError: nothing was fitted.
        """
        if len(self.bank) == 0:
            raise MoleflowError("PatchCore has an empty memory bank: call fit before score.")
        patches = features.reshape(-1, features.shape[-1])
        few = max(1, DISTANCES_AT_ONCE // len(self.bank))
        found = [self.model.nearest_neighbors(some, 1) for some in patches.split(few)]
        distances, nearest = (torch.cat(part).reshape(features.shape[:-1]) for part in zip(*found, strict=True))
        return distances, nearest

    @property
    def bank(self) -> Tensor:
        """The kept patches, (kept, D)."""
        return self.model.memory_bank

    def state(self) -> dict[str, Tensor]:
        """The bank."""
        return {"bank": self.bank}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the bank."""
        self.model.memory_bank = state["bank"]
