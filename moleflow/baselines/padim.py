"""PaDiM (Defard et al., ICPR 2020): a Gaussian of patch features at each place."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from moleflow.baselines.anomalib_parts import ANY_BACKBONE, ANY_LAYER, torch_model
from moleflow.baselines.base import Peer, PeerScores
from moleflow.utils.errors import MoleflowError


class PaDiM(Peer):
    """anomalib's ``PadimModel`` with its Gaussian, Mahalanobis distance and map, unchanged.

    Its network is taken out: it is given features, of which it looks at ``n_features`` channels drawn once.

    Args:
        img_size: side h of the pixel maps.
        n_features: channels kept, at most.
        seed: seed of their draw.
    """

    def __init__(self, img_size: int = 256, n_features: int = 100, seed: int = 0):
        self.model = torch_model("padim", "PadimModel")(ANY_BACKBONE, [ANY_LAYER], False, 1).eval()
        self.model.feature_extractor = nn.Identity()
        self.img_size, self.n_features, self.seed = img_size, n_features, seed

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Mean and inverse covariance of each place."""
        features = torch.cat([batch.permute(0, 3, 1, 2) for batch in batches])
        draw = torch.randperm(features.shape[1], generator=torch.Generator().manual_seed(self.seed))
        self.model.idx = draw[: self.n_features].sort().values
        self.model.memory_bank = [features[:, self.model.idx].contiguous()]
        self.model.fit()

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Patch score: Mahalanobis distance to the place's Gaussian; image score: the map's largest value."""
        gaussian = self.model.gaussian
        if gaussian.mean.numel() == 0:
            raise MoleflowError("PaDiM has no Gaussian: call fit before score.")
        maps = self.model.anomaly_map_generator(
            embedding=features.permute(0, 3, 1, 2)[:, self.model.idx],
            mean=gaussian.mean,
            inv_covariance=gaussian.inv_covariance,
            image_size=(self.img_size, self.img_size),
        )
        return PeerScores(maps.amax(dim=(1, 2, 3)).numpy(), maps[:, 0].numpy())

    def state(self) -> dict[str, Tensor]:
        """Means and inverse covariances of all places, and which channels they are of."""
        gaussian = self.model.gaussian
        return {"mean": gaussian.mean, "inv_covariance": gaussian.inv_covariance, "channels": self.model.idx}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take them."""
        gaussian = self.model.gaussian
        gaussian.mean, gaussian.inv_covariance = state["mean"], state["inv_covariance"]
        self.model.idx = state["channels"]
