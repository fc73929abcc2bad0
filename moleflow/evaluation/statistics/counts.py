"""Images as rows of counts: any resampling of images is then a product of matrices, and so are its metrics.

Columns are thresholds, from the highest score down. They depend on the scores' ranks alone, never on labels, so tables
of two detectors on the same images share their columns and their rows may be exchanged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata

from moleflow.evaluation.metrics import AUPRO_FPR_LIMIT
from moleflow.utils.errors import MoleflowError

Values = dict[str, np.ndarray]

LEVELS = np.unique(np.concatenate([np.linspace(0, 1, 1025)[1:-1], 1 - np.geomspace(1e-6, 0.5, 1024)]))
"""Quantiles of all pixels at which columns of pixel tables part: finer towards the top, where precision is made."""

_SAME_IMAGE_3X3 = np.zeros((3, 3, 3), dtype=bool)  # 8-connected within an image, never across images
_SAME_IMAGE_3X3[1] = True


@dataclass(frozen=True)
class Counts:
    """How many items have the score of each column; for n images (n, k), for R resamplings of them (R, k).

    Attributes:
        defective: defective images or pixels.
        normal: normal ones.
        overlap: sum over defect regions of the share of the region; nothing for images.
        regions: number of defect regions, (n,) or (R,).
    """

    defective: np.ndarray
    normal: np.ndarray
    overlap: np.ndarray
    regions: np.ndarray

    def weighted(self, weights: np.ndarray) -> "Counts":
        """Counts of R resamplings, of how often each takes each image (R, n)."""
        parts = (self.defective, self.normal, self.overlap, self.regions)
        return Counts(*(weights @ part for part in parts))

    def __add__(self, other: "Counts") -> "Counts":
        """Counts of both together."""
        return Counts(
            self.defective + other.defective,
            self.normal + other.normal,
            self.overlap + other.overlap,
            self.regions + other.regions,
        )

    def __len__(self) -> int:
        return len(self.defective)


Metrics = Callable[[Counts], Values]
"""Counts (R, k) -> values (R,), NaN where a metric does not apply."""


def count_images(labels: np.ndarray, scores: np.ndarray) -> Counts:
    """A row an image, a 1 in the column of its midrank: exact.

    Args:
        labels: 1 for a defective image, 0 for a normal one, (n,).
        scores: higher is more anomalous, (n,).
    """
    columns = (2 * rankdata(-np.asarray(scores, dtype=np.float64))).astype(int) - 2
    marks = np.zeros((len(columns), 2 * len(columns)))
    marks[np.arange(len(columns)), columns] = 1
    truths = np.asarray(labels).astype(bool)[:, None]
    return Counts(marks * truths, marks * ~truths, np.zeros((len(columns), 0)), np.zeros(len(columns)))


def count_pixels(truths: np.ndarray, maps: np.ndarray) -> Counts:
    """A row an image: its normal pixels, its defective ones and its regions' shares between quantiles of all pixels.

    Scores within a column count as tied; with these columns metrics are within 0.001 of the exact ones (tested).

    Args:
        truths: True on defects, (n, h, w) bool.
        maps: higher is more anomalous, (n, h, w).

    Raises:
        MoleflowError: the shapes differ.
    """
    if truths.shape != maps.shape:
        raise MoleflowError(f"expected a truth for each map, found truths {truths.shape} and maps {maps.shape}")
    if not maps.size:
        nothing = np.zeros((len(maps), len(LEVELS) + 1))
        return Counts(nothing, nothing, nothing, np.zeros(len(maps)))
    ordered = np.sort(maps.ravel())
    edges = ordered[np.ceil(LEVELS * (ordered.size - 1)).astype(int)]
    columns = len(LEVELS) - np.searchsorted(edges, maps, side="right")
    shares, regions = _region_shares(truths)
    defective, overlap = _rows(columns, truths.astype(float)), _rows(columns, shares)
    return Counts(defective, _rows(columns, np.ones(maps.shape)) - defective, overlap, regions)


def image_values(counts: Counts) -> Values:
    """``image_auroc``, ``image_ap`` and ``image_f1max``."""
    return dict(zip(("image_auroc", "image_ap", "image_f1max"), _ranking(counts), strict=True))


def pixel_values(counts: Counts) -> Values:
    """``pixel_auroc``, ``pixel_ap``, ``pixel_f1max`` and ``aupro``."""
    ranking = dict(zip(("pixel_auroc", "pixel_ap", "pixel_f1max"), _ranking(counts), strict=True))
    return {**ranking, "aupro": aupro(counts)}


def _ranking(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AUROC (Mann–Whitney, ties half), average precision and the best F1, each (R,)."""
    tps, fps = counts.defective.cumsum(1), counts.normal.cumsum(1)
    positives, negatives = tps[:, -1:], fps[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        below = negatives - fps + counts.normal / 2
        auroc = (counts.defective * below).sum(1) / (positives * negatives)[:, 0]
        found = np.maximum(tps + fps, 1)
        precision = (counts.defective * tps / found).sum(1) / positives[:, 0]
        f1max = (2 * tps / (tps + fps + positives)).max(1, initial=0.0)
    nothing = np.isnan(auroc)
    return auroc, np.where(nothing, np.nan, precision), np.where(nothing, np.nan, f1max)


def aupro(counts: Counts, limit: float = AUPRO_FPR_LIMIT) -> np.ndarray:
    """Mean overlap with regions against false-positive rate, the area up to ``limit`` divided by it, (R,)."""
    start = np.zeros((len(counts), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.hstack([start, counts.normal.cumsum(1) / counts.normal.sum(1, keepdims=True)])
        found = np.hstack([start, counts.overlap.cumsum(1) / counts.regions[:, None]])
        width, rise = np.diff(rates), np.diff(found)
        used = np.clip(limit - rates[:, :-1], 0, width)  # of each step's width, what lies below the limit
        slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
        return (used * (found[:, :-1] + slope * used / 2)).sum(1) / limit + 0 * found[:, -1]


def _rows(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum of weights (n, h, w) in each column, image by image, (n, k)."""
    n, k = len(columns), len(LEVELS) + 1
    places = columns.reshape(n, -1) + k * np.arange(n)[:, None]
    return np.bincount(places.ravel(), weights=weights.ravel(), minlength=n * k).reshape(n, k)


def _region_shares(truths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """1 / (size of its region) for each defective pixel (n, h, w), and the number of regions of each image (n,)."""
    regions, count = ndimage.label(truths, structure=_SAME_IMAGE_3X3)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    shares = np.where(truths, 1.0 / np.maximum(sizes[regions], 1), 0.0)
    return shares, np.round(shares.sum((1, 2)))
