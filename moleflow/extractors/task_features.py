"""The features of a set of images, as the trainer and the evaluator ask for them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moleflow.data.datasets import Sample
from moleflow.data.rotation import Rotation
from moleflow.extractors.batch import Batch
from moleflow.extractors.cache import FeatureStore
from moleflow.utils.seed import derive_seed


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
        """Features of some images, (n, H, W, D); with gradients where something before the backbone learns."""
        return self.store.features([self.samples[index] for index in indices]).to(self.device)

    def batches(self) -> Iterator[Batch]:
        """All features in order, in batches; the last may be short."""
        for start in range(0, len(self.samples), self.batch_size):
            chosen = self.samples[start : start + self.batch_size]
            classes = torch.tensor([self.class_index[sample.class_name] for sample in chosen], device=self.device)
            yield Batch(self._fixed_features(chosen), classes)

    def identity(self) -> str:
        """What tells these features from others without a look at them: backbone, files' names and sizes, angles."""
        files = [(s.class_name, s.path.name, s.path.stat().st_size, s.rotation) for s in self.samples]
        text = json.dumps([self.store.extractor.fingerprint, self.store.resize, files])
        return hashlib.sha256(text.encode()).hexdigest()

    def position(self) -> dict[str, Any]:
        """What ``take`` has used up, as JSON can hold it; nothing, where it shows the same whenever it is asked."""
        return {}

    def go_on(self, position: dict[str, Any]) -> None:
        """Show on from what ``position`` gave."""

    @torch.no_grad()
    def _fixed_features(self, samples: Sequence[Sample]) -> Tensor:
        """Features without gradients, whatever learns before the backbone."""
        return self.store.features(samples).to(self.device)


class FreshViews(TaskFeatures):
    """I1 without fixed views: ``take`` shows images under angles drawn in that step, ``batches`` each under one angle.

    The angles are a random stream that belongs to (seed, the task's name); each step goes on where the last one ended.

    Args:
        store: where features come from; it should keep nothing.
        samples: the images, each with the rotation that ``batches`` shows.
        classes: the task's classes.
        device: where features are wanted.
        rotation: the angles that may be drawn.
    """

    def __init__(
        self,
        store: FeatureStore,
        samples: Sequence[Sample],
        classes: Sequence[str],
        device: torch.device,
        rotation: Rotation,
    ):
        super().__init__(store, samples, classes, device)
        self.rotation = rotation
        self.random = np.random.default_rng(derive_seed(rotation.seed, "+".join(sorted(classes)), "rotation"))

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images under new angles, (n, H, W, D)."""
        views = self.rotation.fresh([self.samples[index] for index in indices], self.random)
        return self.store.features(views).to(self.device)

    def position(self) -> dict[str, Any]:
        """The state of the stream of angles."""
        return dict(self.random.bit_generator.state)

    def go_on(self, position: dict[str, Any]) -> None:
        """Draw on from there."""
        self.random.bit_generator.state = position
