"""Features of images that pass something which learns before they reach the backbone."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from moleflow.data.sample import Sample
from moleflow.extractors.base import Extractor
from moleflow.extractors.cache import FeatureStore, usable


class LiveStore(FeatureStore):
    """I2: a store that keeps nothing, because images pass something that learns on their way to the features.

    Args:
        way: images in 0..1 (B, 3, s, s) to features (B, H, W, D); the extractor stands at its end.
        extractor: as for every store.
        resize: how images are brought to the extractor's size.
        num_workers: threads that decode images for a GPU.
        device: where the backbone runs.
    """

    def __init__(
        self,
        way: Callable[[Tensor], Tensor],
        extractor: Extractor,
        resize: str,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(extractor, resize, None, num_workers=num_workers, device=device)
        self.way = way

    def features(self, samples: Sequence[Sample]) -> Tensor:
        """Features of samples; where torch records gradients, they pass to what learns on the way (in one batch).

        Raises:
            BadImage: an image cannot be read.
        """
        if not torch.is_grad_enabled():
            return super().features(samples)
        self.backbone_calls += len(samples)
        images = [usable(outcome) for _, outcome in self._in_batches(samples, self._load)]
        return self.way(self._pixels(np.stack(images)))

    def _map(self, pixels: Tensor) -> Tensor:
        return self.way(pixels)
