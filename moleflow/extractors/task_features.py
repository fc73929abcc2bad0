"""The features of a set of images, as the trainer and the evaluator ask for them."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from moleflow.data.datasets import Sample
from moleflow.extractors.batch import Batch
from moleflow.extractors.cache import FeatureStore


class TaskFeatures:
    """Features of samples that have been prepared in a store.

    Args:
        store: where features come from.
        samples: the images, in a fixed order.
        classes: the task's classes, sorted: what the class numbers of batches mean.
        device: where features are wanted.
        batch_size: images in a batch of ``batches``.
    """

    def __init__(
        self,
        store: FeatureStore,
        samples: Sequence[Sample],
        classes: Sequence[str],
        device: torch.device,
        batch_size: int = 32,
    ):
        self.store = store
        self.samples = list(samples)
        self.class_index = {name: index for index, name in enumerate(sorted(classes))}
        self.device = device
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images, (n, H, W, D)."""
        return self.store.features([self.samples[index] for index in indices]).to(self.device)

    def batches(self) -> Iterator[Batch]:
        """All features in order, in batches; the last may be short."""
        for start in range(0, len(self.samples), self.batch_size):
            chosen = self.samples[start : start + self.batch_size]
            classes = torch.tensor([self.class_index[sample.class_name] for sample in chosen], device=self.device)
            yield Batch(self.store.features(chosen).to(self.device), classes)
