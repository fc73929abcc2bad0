"""One class's test images as counts, ready to be resampled or taken apart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import quote

import numpy as np

from moleflow.data.sample import GOOD, Sample
from moleflow.evaluation.kept import KeptScores, relative_names
from moleflow.evaluation.statistics.counts import (
    Counts,
    Values,
    count_images,
    count_pixels,
    image_values,
    pixel_values,
)
from moleflow.utils.arrays import read_arrays, write_arrays

COUNTS = "counts"
"""Where a run that keeps no patch scores has its test images' counts, a file a class."""


def counts_file(folder: Path, class_name: str) -> Path:
    """Where a run's folder has the counts of a class."""
    return folder / COUNTS / f"{quote(class_name, safe='')}.npz"


@dataclass(frozen=True)
class Counted:
    """Test images of one class under one route.

    Attributes:
        names: of the images, (n,) text.
        labels: 0 for good, 1 for defect, (n,).
        defects: type of each image's defect, (n,) text.
        scores: image scores, (n,).
        known: whether the defect's pixels are known, (n,) bool.
        areas: share of the image that is defective, (n,); NaN where unknown.
        images: counts of the n images.
        pixels: counts of the pixels of those that are known.
    """

    names: np.ndarray
    labels: np.ndarray
    defects: np.ndarray
    scores: np.ndarray
    known: np.ndarray
    areas: np.ndarray
    images: Counts
    pixels: Counts

    @classmethod
    def of(cls, kept: KeptScores, route: str) -> "Counted":
        """Count what a run kept of a class."""
        facts = kept.names, kept.labels, kept.defects, kept.known
        return cls._of(*facts, kept.truths, kept.images(route), kept.maps(route))

    @classmethod
    def of_samples(
        cls, samples: Sequence[Sample], truths: Mapping[int, np.ndarray], scores: np.ndarray, maps: np.ndarray
    ) -> "Counted":
        """Count what was said of n samples.

        Args:
            samples: the images.
            truths: place among the samples -> defect pixels (h, h), where they are known.
            scores: image scores, (n,).
            maps: pixel maps, (n, h, h).
        """
        known = np.array([row in truths for row in range(len(samples))], dtype=bool)
        drawn = np.array(list(truths.values()), dtype=bool).reshape(-1, *maps.shape[1:])
        names, defects = (np.array(column, dtype=str) for column in (
            list(relative_names(samples)), [sample.defect for sample in samples]))  # fmt: skip
        labels = np.array([sample.label for sample in samples], dtype=np.int64)
        return cls._of(names, labels, defects, known, drawn, scores, maps[known])

    @classmethod
    def _of(
        cls, names: np.ndarray, labels: np.ndarray, defects: np.ndarray, known: np.ndarray, truths: np.ndarray,
        scores: np.ndarray, maps: np.ndarray,
    ) -> "Counted":  # fmt: skip
        areas = np.full(len(labels), np.nan)
        areas[known] = truths.mean((1, 2))
        images, pixels = count_images(labels, scores), count_pixels(truths, maps)
        return cls(names, labels, defects, scores, known, areas, images, pixels)

    def save(self, file: Path) -> None:
        """Write the counts; those of images follow from the scores."""
        plain = {name: value for name, value in vars(self).items() if not isinstance(value, Counts)}
        write_arrays(file, **plain, **asdict(self.pixels))

    @classmethod
    def load(cls, file: Path) -> "Counted":
        """Read what ``save`` wrote.

        Raises:
            MoleflowError: the file is missing or damaged.
        """

        def taken(stored: Mapping[str, np.ndarray]) -> "Counted":
            counts = [field.name for field in fields(Counts)]
            plain = {name: stored[name] for name in stored if name not in counts}
            pixels = Counts(**{name: stored[name] for name in counts})
            return cls(**plain, images=count_images(plain["labels"], plain["scores"]), pixels=pixels)

        return read_arrays(file, taken, "counts", "run its experiment again")

    def values(self, weights: np.ndarray) -> Values:
        """All image and pixel metrics when each image is taken so often: (r, n) -> (r,) each."""
        pixels = pixel_values(self.pixels.weighted(weights[:, self.known]))
        return {**image_values(self.images.weighted(weights)), **pixels}

    @property
    def whole(self) -> np.ndarray:
        """Every image once, (1, n)."""
        return np.ones((1, len(self.labels)))

    @property
    def types(self) -> dict[str, np.ndarray]:
        """Type of defect -> which images have it, (n,) bool."""
        return {name: self.defects == name for name in sorted(set(self.defects.tolist()) - {GOOD})}

    def sizes(self, edges: tuple[float, ...]) -> dict[int, np.ndarray]:
        """Number of edges that the defect's area exceeds -> which defective images are so, (n,) bool; empty ones go."""
        drawn = (self.labels == 1) & (np.nan_to_num(self.areas) > 0)
        place = np.searchsorted(edges, np.nan_to_num(self.areas), side="left")
        groups = {index: drawn & (place == index) for index in range(len(edges) + 1)}
        return {index: chosen for index, chosen in groups.items() if chosen.any()}
