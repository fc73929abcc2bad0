"""The features of a set of images, as the trainer and the evaluator ask for them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moleflow.data.datasets import Sample
from moleflow.data.images import BadImage
from moleflow.data.rotation import Rotation
from moleflow.extractors.batch import Batch
from moleflow.extractors.cache import FeatureStore
from moleflow.utils.seed import derive_seed

Lost = Callable[[BadImage, int], None]
"""Told of an image that cannot be read any more and of how many are left; raises where none may be left out."""


def stop(bad: BadImage, left: int) -> None:
    """Leave no image out."""
    raise bad


class TaskFeatures:
    """Features of samples that have been prepared in a store.

    A store that keeps nothing reads images whenever they are asked for. One that vanishes or rots meanwhile is told to
    ``lost``; where that lets it pass, it is left out from then on, and ``take`` shows the next one instead, so that
    steps keep their size.

    Attributes:
        samples: the images that can be read, as far as is known.

    Args:
        store: where features come from.
        samples: the images, in a fixed order.
        classes: the task's classes, sorted: what the class numbers of batches mean.
        device: where features are wanted.
        batch_size: images in a batch of ``batches``.
        lost: what to do about an image that cannot be read any more.
    """

    def __init__(
        self,
        store: FeatureStore,
        samples: Sequence[Sample],
        classes: Sequence[str],
        device: torch.device,
        batch_size: int = 32,
        lost: Lost = stop,
    ):
        self.store = store
        self.samples = list(samples)
        self._all = tuple(samples)
        self._gone: set[Path] = set()
        self._lost = lost
        self.class_index = {name: index for index, name in enumerate(sorted(classes))}
        self.device = device
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self._all)

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images, (n, H, W, D); with gradients where something before the backbone learns."""
        while True:
            try:
                return self.store.features(self._views([self._there(index) for index in indices])).to(self.device)
            except BadImage as bad:
                self._lose(bad)

    def batches(self) -> Iterator[Batch]:
        """All features in order, in batches; the last may be short."""
        parts = [self._all[start : start + self.batch_size] for start in range(0, len(self._all), self.batch_size)]
        for part, following in zip_longest(parts, parts[1:], fillvalue=()):
            self.store.expect(following)
            features, chosen = self._fixed_features(part)
            classes = torch.tensor([self.class_index[sample.class_name] for sample in chosen], device=self.device)
            if chosen:
                yield Batch(features, classes)

    def identity(self) -> str:
        """What tells these features from others without a look at them: backbone, files' names and sizes, angles."""
        files = [(s.class_name, s.path.name, _size(s.path), s.rotation) for s in self.samples]
        text = json.dumps([self.store.extractor.fingerprint, self.store.resize, files])
        return hashlib.sha256(text.encode()).hexdigest()

    def position(self) -> dict[str, Any]:
        """What ``take`` has used up, as JSON can hold it; nothing, where it shows the same whenever it is asked."""
        return {}

    def go_on(self, position: dict[str, Any]) -> None:
        """Show on from what ``position`` gave."""

    @torch.no_grad()
    def _fixed_features(self, samples: Sequence[Sample]) -> tuple[Tensor, list[Sample]]:
        """Features without gradients, whatever learns before the backbone, of those samples that can be read."""
        while True:
            there = self._left_of(samples)
            try:
                return self.store.features(there).to(self.device), there
            except BadImage as bad:
                self._lose(bad)

    def _views(self, samples: list[Sample]) -> list[Sample]:
        """What ``take`` shows of images."""
        return samples

    def _there(self, index: int) -> Sample:
        """The image of that number, or the next one that can be read."""
        following = (self._all[number % len(self)] for number in range(index, index + len(self)))
        return next(sample for sample in following if sample.path not in self._gone)

    def _left_of(self, samples: Sequence[Sample]) -> list[Sample]:
        return [sample for sample in samples if sample.path not in self._gone]

    def _lose(self, bad: BadImage) -> None:
        left = [sample for sample in self._left_of(self._all) if sample.path != bad.path]
        self._lost(bad, len(left))  # raises where nothing may be left out: then it is not
        self._gone.add(bad.path)
        self.samples = left


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:  # gone since it was read
        return None


class FreshViews(TaskFeatures):
    """I1 without fixed views: ``take`` shows images under angles drawn in that step, ``batches`` each under one angle.

    The angles are a random stream that belongs to (seed, the task's name); each step goes on where the last one ended.

    Args:
        store: where features come from; it should keep nothing.
        samples: the images, each with the rotation that ``batches`` shows.
        classes: the task's classes.
        device: where features are wanted.
        rotation: the angles that may be drawn.
        lost: what to do about an image that cannot be read any more.
    """

    def __init__(
        self,
        store: FeatureStore,
        samples: Sequence[Sample],
        classes: Sequence[str],
        device: torch.device,
        rotation: Rotation,
        lost: Lost = stop,
    ):
        super().__init__(store, samples, classes, device, lost=lost)
        self.rotation = rotation
        self.random = np.random.default_rng(derive_seed(rotation.seed, "+".join(sorted(classes)), "rotation"))

    def _views(self, samples: list[Sample]) -> list[Sample]:
        """The images under new angles."""
        return self.rotation.fresh(samples, self.random)

    def position(self) -> dict[str, Any]:
        """The state of the stream of angles."""
        return dict(self.random.bit_generator.state)

    def go_on(self, position: dict[str, Any]) -> None:
        """Draw on from there."""
        self.random.bit_generator.state = position
