"""Thresholds on image scores from labelled validation images, and what decisions are worth.

A decision is ``score > threshold`` everywhere in this project.
"""

from collections.abc import Callable

import numpy as np
import torch

from moleflow.models.scoring.limits import conformal_limit
from moleflow.utils.errors import MoleflowError, UsageError

DECISION_METRICS = ("accuracy", "precision", "recall", "false_alarm_rate")


def f1_max_threshold(
    scores: np.ndarray, labels: np.ndarray, fallback: Callable[[np.ndarray], float] | None = None
) -> float:
    """The threshold with the highest F1 = 2·TP/(2·TP + FP + FN) on labelled validation images.

    It lies half-way between the lowest score it calls anomalous and the next lower one, so that new scores near either
    fall on the nearer side; where everything is called anomalous, just below the lowest score. Of equally good ones the
    highest counts: the fewest alarms.

    Args:
        scores: (n,) higher is more anomalous.
        labels: (n,) 1 for a defective image, 0 for a normal one.
        fallback: what gives the threshold from the scores (n,) of normal images where none is defective, such as
            ``good_only(0.05)``; None refuses them.

    Raises:
        UsageError: no image is defective and there is no fallback, or there is no image.
        MoleflowError: the shapes differ, or a score is NaN or infinite.
    """
    values, truths = _checked(scores, labels)
    if not truths.any():
        if fallback is None or not len(values):
            raise UsageError(
                f"F1 needs a defective validation image, found none among {len(values)}: "
                "add some, or take a threshold from good images only"
            )
        return fallback(values)
    ascending = np.unique(values)
    hits, called = _reaching(values[truths], ascending), _reaching(values, ascending)
    f1 = 2 * hits / (called + truths.sum())
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    if best == 0:
        return float(np.nextafter(ascending[0], -np.inf))
    return float((ascending[best - 1] + ascending[best]) / 2)


def good_only(rate: float) -> Callable[[np.ndarray], float]:
    """A rule for scores (n,) of normal images: their split-conformal limit for a share ``rate`` of false alarms."""
    return lambda scores: float(conformal_limit(torch.from_numpy(np.sort(scores.astype(np.float64))), rate))


def decision_metrics(labels: np.ndarray, anomalous: np.ndarray) -> dict[str, float | None]:
    """What decisions are worth: a value for each of ``DECISION_METRICS``, None where its denominator is 0.

    Accuracy is the share of right decisions, precision that of defective images among those called anomalous, recall
    that of those called anomalous among the defective, false-alarm rate the same among the normal ones.

    Args:
        labels: (n,) 1 for a defective image, 0 for a normal one.
        anomalous: (n,) bool, the decisions.
    """
    truths, called = np.asarray(labels).astype(bool), np.asarray(anomalous).astype(bool)
    return {
        "accuracy": _share(truths == called),
        "precision": _share(truths[called]),
        "recall": _share(called[truths]),
        "false_alarm_rate": _share(called[~truths]),
    }


def _reaching(scores: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """How many scores (n,) are at least each of the limits (k,), (k,)."""
    return scores.size - np.searchsorted(np.sort(scores), limits)


def _share(hits: np.ndarray) -> float | None:
    return float(hits.mean()) if hits.size else None


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, truths = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if values.shape != truths.shape or values.ndim != 1:
        raise MoleflowError(f"expected one score per label, found {values.shape} scores and {truths.shape} labels")
    if not np.isfinite(values).all():
        raise MoleflowError(
            f"{np.count_nonzero(~np.isfinite(values))} of {values.size} validation scores are NaN or infinite: "
            "score the images again"
        )
    return values, truths
