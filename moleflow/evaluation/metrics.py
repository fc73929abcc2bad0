"""Image and pixel metrics of one class: arrays in, fractions in 0..1 out, None where a metric does not apply.

All values are exact: no binning of scores, and tied scores always pass a threshold together.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from moleflow.utils.errors import MoleflowError

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1max", "aupro")
AUPRO_FPR_LIMIT = 0.3

_SAME_IMAGE_3X3 = np.zeros((3, 3, 3), dtype=bool)  # 8-connected within an image, never across images
_SAME_IMAGE_3X3[1] = True


def image_metrics(labels: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """AUROC, average precision and the best F1 over all thresholds.

    Args:
        labels: (n,) 1 for a defective image, 0 for a normal one.
        scores: (n,) anomaly scores, larger is more anomalous.

    Returns:
        A value for each of `IMAGE_METRICS`; all None when only one label is present.

    Raises:
        MoleflowError: the shapes differ, or a score is NaN or infinite.
    """
    truths = np.asarray(labels).astype(bool)
    values = np.asarray(scores, dtype=np.float64)
    _check(truths, values)
    if not _both_present(truths):
        return dict.fromkeys(IMAGE_METRICS)
    precision, recall, _ = precision_recall_curve(truths, values)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return {
        "image_auroc": float(roc_auc_score(truths, values)),
        "image_ap": float(average_precision_score(truths, values)),
        "image_f1max": float(f1.max()),
    }


def pixel_metrics(truths: np.ndarray, maps: np.ndarray) -> dict[str, float | None]:
    """AUROC, average precision, best F1 and AUPRO over all pixels of all images together.

    AUPRO (Bergmann et al., IJCV 2021): the share of each 8-connected ground-truth region that is found,
    averaged over regions, as a function of the false-positive rate over all normal pixels; the area up
    to a rate of 0.3, divided by 0.3.

    Args:
        truths: (n, h, w) bool, True on defects.
        maps: (n, h, w) anomaly scores, larger is more anomalous.

    Returns:
        A value for each of `PIXEL_METRICS`; all None when no pixel is defective, or all are.

    Raises:
        MoleflowError: the shapes differ, or a score is NaN or infinite.
    """
    truths, maps = np.asarray(truths, dtype=bool), np.asarray(maps)
    _check(truths, maps)
    if not _both_present(truths):
        return dict.fromkeys(PIXEL_METRICS)
    curve = _curve(truths, maps)
    return {
        "pixel_auroc": curve.auroc(),
        "pixel_ap": curve.average_precision(),
        "pixel_f1max": curve.f1max(),
        "aupro": curve.aupro(AUPRO_FPR_LIMIT),
    }


@dataclass(frozen=True)
class _Curve:
    """Counts at the k distinct scores of defective pixels, from the highest down.

    No other threshold is needed: between two of them only false positives are added, so overlap and
    recall run level while precision and F1 fall, and the straight line between the counts on either
    side of a tie is the one that thresholds at all distinct scores would draw. So only the normal
    scores are sorted (fast, without indices) and then looked up k times.

    Attributes:
        hits: (k,) defective pixels with exactly this score.
        fps: (k,) normal pixels with this score or a higher one.
        fps_above: (k,) normal pixels with a higher score.
        overlap: (k,) mean over regions of the share of the region at this score or higher.
        normals: normal pixels in all.
    """

    hits: np.ndarray
    fps: np.ndarray
    fps_above: np.ndarray
    overlap: np.ndarray
    normals: int

    def auroc(self) -> float:
        """Share of (defective, normal) pairs in the right order, ties counted half (Mann–Whitney)."""
        twice_below = 2 * self.normals - self.fps - self.fps_above
        return float(np.sum(self.hits * twice_below) / (2 * self.hits.sum() * self.normals))

    def average_precision(self) -> float:
        """Σ precision · recall gained, over thresholds."""
        tps = np.cumsum(self.hits)
        return float(np.sum(self.hits * (tps / (tps + self.fps))) / tps[-1])

    def f1max(self) -> float:
        """Largest 2·TP / (TP + FP + defective pixels)."""
        tps = np.cumsum(self.hits)
        return float(np.max(2 * tps / (tps + self.fps + tps[-1])))

    def aupro(self, limit: float) -> float:
        """Area under overlap against false-positive rate ≤ `limit` (a linear cut), divided by `limit`."""
        before = np.concatenate([[0.0], self.overlap[:-1]])
        rates = np.concatenate([[0], _interleave(self.fps_above, self.fps), [self.normals]]) / self.normals
        overlaps = np.concatenate([[0.0], _interleave(before, self.overlap), [1.0]])
        last = int(np.searchsorted(rates, limit, side="right")) - 1  # rates end at 1, so a next point exists
        cut = np.interp(limit, rates[last : last + 2], overlaps[last : last + 2])
        area = np.trapezoid(np.append(overlaps[: last + 1], cut), np.append(rates[: last + 1], limit))
        return float(area / limit)


def _curve(truths: np.ndarray, maps: np.ndarray) -> _Curve:
    """Sort the normal scores once and count at every distinct defective score; (n, h, w) both."""
    normals = np.sort(maps[~truths])
    scores, which = np.unique(maps[truths], return_inverse=True)
    overlap = np.cumsum(np.bincount(which, weights=_region_shares(truths))[::-1])
    return _Curve(
        hits=np.bincount(which)[::-1],
        fps=(normals.size - np.searchsorted(normals, scores, side="left"))[::-1],
        fps_above=(normals.size - np.searchsorted(normals, scores, side="right"))[::-1],
        overlap=np.minimum(overlap, 1.0),  # the sum of all shares may round to just above 1
        normals=normals.size,
    )


def _region_shares(truths: np.ndarray) -> np.ndarray:
    """What each defective pixel, as `truths` lists them, adds to the overlap: 1 / (regions · its region)."""
    regions, count = ndimage.label(truths, structure=_SAME_IMAGE_3X3)
    of_pixel = regions[truths]
    return 1.0 / (count * np.bincount(of_pixel)[of_pixel])


def _interleave(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(k,), (k,) → (2k,): first[0], second[0], first[1], …"""
    return np.stack([first, second], axis=1).ravel()


def _both_present(truths: np.ndarray) -> bool:
    """Whether there is at least one defective and one normal entry."""
    return bool(truths.any()) and not bool(truths.all())


def _check(truths: np.ndarray, scores: np.ndarray) -> None:
    """Refuse what would otherwise become a wrong number without a word."""
    if truths.shape != scores.shape:
        raise MoleflowError(
            f"expected one score per label, found labels of shape {truths.shape} and scores of {scores.shape}"
        )
    if scores.size and not (np.isfinite(scores.min()) and np.isfinite(scores.max())):
        bad = int(np.count_nonzero(~np.isfinite(scores)))
        raise MoleflowError(
            f"scores contain NaN or infinite values ({bad} of {scores.size}), so no metric can be taken: "
            "the training has diverged (try a smaller --lr) or the input images are damaged"
        )
