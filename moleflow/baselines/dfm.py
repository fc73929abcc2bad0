"""DFM (Ahuja et al., 2019): what principal components of an image's features do not explain."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, ANY_LAYER, torch_model
from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.trained import enlarged
from moleflow.utils.errors import MoleflowError


class DFM(Peer):
    """anomalib's ``DFMModel`` with its PCA, its feature reconstruction error and its map, unchanged.

    Its network is taken out: it is given features, which it average-pools and flattens, one vector an image.

    Args:
        img_size: side h of the pixel maps.
        pooling: patches averaged along a side.
        explained: share of the variance that the kept components explain.
        seed: of nothing.
    """

    def __init__(self, img_size: int = 256, pooling: int = 4, explained: float = 0.97, seed: int = 0):
        self.model = torch_model("dfm", "DFMModel")(ANY_BACKBONE, ANY_LAYER, False, pooling, explained, "fre").eval()
        self.model.feature_extractor = nn.Identity()
        self.img_size, self.pooling = img_size, pooling

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Principal components of all images."""
        self.model.memory_bank = [self._pooled(batch).flatten(1) for batch in batches]
        self.model.fit()

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Squared error of the reconstruction, in sum and for each pooled patch."""
        if not self.model.pca_model.mean.numel():
            raise MoleflowError("DFM has no components: call fit or load before score.")
        pooled = self._pooled(features)
        images, maps = self.model.score(pooled.flatten(1), pooled.shape)
        return PeerScores(images.numpy(), enlarged(maps[:, 0], self.img_size).numpy())

    def state(self) -> dict[str, Tensor]:
        """Mean and components."""
        return {"mean": self.model.pca_model.mean, "components": self.model.pca_model.singular_vectors}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them."""
        self.model.pca_model.mean, self.model.pca_model.singular_vectors = state["mean"], state["components"]

    def _pooled(self, features: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, D, H/p, W/p)."""
        maps = features.permute(0, 3, 1, 2)
        return F.avg_pool2d(maps, min(self.pooling, *maps.shape[2:])).contiguous()
