"""How sure a metric is, given the test images there are: percentile bootstrap over images.

Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Images are drawn with replacement,
normal and defective ones apart, so every resampling has as many of each as the test set. Pixels of an image stay
together: they are no independent observations.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from moleflow.evaluation.statistics.counts import Values

PART = 100
"""Resamplings whose counts are held at a time."""


class Interval(NamedTuple):
    """Where a value lies with the probability that was asked for."""

    low: float
    high: float


def draw(labels: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each resampling takes each image, (R, n); within each label a multinomial draw of as many images."""
    random = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(labels)))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        weights[:, own] = random.multinomial(len(own), np.full(len(own), 1 / len(own)), size=resamples)
    return weights


def bootstrap(values_of: Callable[[np.ndarray], Values], labels: np.ndarray, resamples: int, seed: int) -> Values:
    """Values of each metric under R resamplings of the images, (R,).

    Args:
        values_of: how often each image is taken, (r, n), to the values of each metric, (r,).
        labels: what to draw apart, (n,).
        resamples: R.
        seed: the same seed gives the same draws, so two detectors on the same images can be resampled together.
    """
    weights = draw(labels, resamples, seed)
    parts = [values_of(weights[start : start + PART]) for start in range(0, resamples, PART)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interval(values: np.ndarray, level: float = 0.95) -> Interval | None:
    """The middle ``level`` of resampled values; None where there is none. Values that do not apply are left out."""
    known = values[~np.isnan(values)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def mean_over_classes(values: Iterable[np.ndarray]) -> np.ndarray:
    """Mean over classes of independent resamplings, (R,); classes to which the metric does not apply are left out."""
    known = [one for one in values if not np.isnan(one).all()]
    return np.mean(known, axis=0) if known else np.array([])
