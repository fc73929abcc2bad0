"""What all methods of the study share: the same images in the same parts, through the same backbone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from moleflow.config.resolve import Resolved
from moleflow.data.images import pixel_truth
from moleflow.data.sample import Sample
from moleflow.data.splits import Split
from moleflow.extractors.cache import FeatureStore
from moleflow.study.layout import CLEAN

BATCH = 32
"""Images whose features are handed over together."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Images, features and settings of one study.

    Attributes:
        resolved: the configuration; everything that is not MoLE-Flow looks at its data and features only.
        store: features of images.
        splits: severity (``clean`` among them) -> class -> its images in three parts.
    """

    resolved: Resolved
    store: FeatureStore
    splits: Mapping[str, Mapping[str, Split]]
    _truths: dict[Sample, np.ndarray | None] = field(default_factory=dict, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The products, in the study's order."""
        return tuple(self.splits[CLEAN])

    @property
    def severities(self) -> tuple[str, ...]:
        """The shifted domains, in the study's order."""
        return tuple(severity for severity in self.splits if severity != CLEAN)

    @property
    def img_size(self) -> int:
        """Side h of images, masks and pixel maps."""
        return self.store.extractor.img_size

    @property
    def seed(self) -> int:
        """Seed of all that draws."""
        return self.resolved.run.training.seed

    def part(self, severity: str, class_name: str, part: str) -> tuple[Sample, ...]:
        """Images of a class: ``train``, ``val`` or ``test``."""
        return self.splits[severity][class_name].part(part)

    def batches(self, samples: Sequence[Sample]) -> Iterator[Tensor]:
        """Features (B, H, W, D) of images, in order."""
        for start in range(0, len(samples), BATCH):
            yield self.store.features(samples[start : start + BATCH])

    def truths(self, samples: Sequence[Sample]) -> list[np.ndarray | None]:
        """Where the defect is, (h, h) bool an image; None where there is no mask of a defect."""
        for sample in samples:
            if sample not in self._truths:
                self._truths[sample] = pixel_truth(sample, self.img_size, self.resolved.run.data.resize)
        return [self._truths[sample] for sample in samples]
