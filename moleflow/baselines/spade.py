"""SPADE (Cohen and Hoshen, 2020): nearest normal images first, then nearest patches among these."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from moleflow.baselines.base import Peer, PeerScores
from moleflow.baselines.trained import smooth_scores
from moleflow.utils.errors import MoleflowError


class Spade(Peer):
    """All features of all normal images are kept, in fp16.

    An image's score is its mean distance to the K nearest normal images, in features averaged over the grid. A patch's
    score is its distance to the nearest patch of these K images; the map is enlarged and smoothed by σ = 4 pixels.
    The paper pools another stage than it takes patches from, looks at κ patches and takes the mean of their distances;
    here κ = 1 and all stages are in one feature.

    Args:
        img_size: side h of the pixel maps.
        neighbors: K.
        seed: of nothing.
    """

    def __init__(self, img_size: int = 256, neighbors: int = 20, seed: int = 0):
        self.img_size, self.neighbors = img_size, neighbors
        self.gallery = torch.empty(0)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Keep everything."""
        self.gallery = torch.cat([batch.half() for batch in batches])

    @torch.no_grad()
    def score(self, features: Tensor) -> PeerScores:
        """Distances to what is near."""
        if not len(self.gallery):
            raise MoleflowError("SPADE has an empty gallery: call fit or load before score.")
        pooled = self.gallery.float().mean((1, 2))
        near = torch.cdist(features.mean((1, 2)), pooled).topk(min(self.neighbors, len(pooled)), largest=False)
        patches = [self._patches(image, rows) for image, rows in zip(features, near.indices, strict=True)]
        _, maps = smooth_scores(torch.stack(patches), self.img_size)
        return PeerScores(near.values.mean(1).numpy(), maps.numpy())

    def _patches(self, image: Tensor, rows: Tensor) -> Tensor:
        """Distance of each patch (H, W, D) to the nearest one of the gallery's rows, (H, W)."""
        known = self.gallery[rows].float().flatten(0, 2)
        return torch.cdist(image.flatten(0, 1), known).amin(1).unflatten(0, image.shape[:2])

    def state(self) -> dict[str, Tensor]:
        """The gallery."""
        return {"gallery": self.gallery}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take it."""
        self.gallery = state["gallery"]
