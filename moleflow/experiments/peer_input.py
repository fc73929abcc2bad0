"""What a peer is shown of image files: features from the store, or the images themselves."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from moleflow.baselines.base import FEATURES, Peer
from moleflow.data.images import load_image
from moleflow.data.sample import Sample
from moleflow.extractors.cache import FeatureStore

BATCH = 16
"""Images that are handed over together."""


class PeerInput:
    """Batches for peers.

    Args:
        store: features of images; its extractor and way of resizing are those of images, too.
    """

    def __init__(self, store: FeatureStore):
        self.store = store

    def batches(self, peer: Peer, samples: Sequence[Sample]) -> Iterator[Tensor]:
        """What the peer sees of images, in order."""
        for start in range(0, len(samples), BATCH):
            part = samples[start : start + BATCH]
            yield self.store.features(part) if peer.sees == FEATURES else self.pixels(part)

    def pixels(self, samples: Sequence[Sample]) -> Tensor:
        """Decoded images in 0..1, (n, 3, h, h)."""
        size = self.store.extractor.img_size
        images = [load_image(sample.path, size, self.store.resize) for sample in samples]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    @torch.no_grad()
    def score_pixels(self, peer: Peer, image: Tensor) -> None:
        """Score decoded images (n, 3, h, h), backbone and all, for the time it takes."""
        peer.score(self.store.extractor(image) if peer.sees == FEATURES else image)
