"""One class's test images as counts, ready to be resampled or taken apart."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.sample import GOOD
from moleflow.evaluation.kept import KeptScores
from moleflow.evaluation.statistics.counts import (
    Counts,
    Values,
    count_images,
    count_pixels,
    image_values,
    pixel_values,
)


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
        areas = np.full(len(kept.labels), np.nan)
        areas[kept.known] = kept.truths.mean((1, 2))
        scores = kept.images(route)
        images, pixels = count_images(kept.labels, scores), count_pixels(kept.truths, kept.maps(route))
        return cls(kept.names, kept.labels, kept.defects, scores, kept.known, areas, images, pixels)

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
