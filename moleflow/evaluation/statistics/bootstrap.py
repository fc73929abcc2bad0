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


def draw_groups(groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each resampling takes each image, (R, n): images of a group together, as many groups as there are.

    For images that are no independent observations, as versions of one (the cluster bootstrap of Field and Welsh 2007).

    Args:
        groups: what each image belongs to, (n,).
    """
    names, own = np.unique(groups, return_inverse=True)
    count = len(names)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return weights[:, own].astype(float)


def bootstrap(values_of: Callable[[np.ndarray], Values], labels: np.ndarray, resamples: int, seed: int) -> Values:
    """Values of each metric under R resamplings of the images, (R,).

    Args:
        values_of: how often each image is taken, (r, n), to the values of each metric, (r,).
        labels: what to draw apart, (n,).
        resamples: R.
        seed: the same seed gives the same draws, so two detectors on the same images can be resampled together.
    """
    return resampled(values_of, draw(labels, resamples, seed))


def resampled(values_of: Callable[[np.ndarray], Values], weights: np.ndarray) -> Values:
    """Values of each metric when each image is taken so often, (R, n) -> (R,) each; some resamplings at a time."""
    parts = [values_of(weights[start : start + PART]) for start in range(0, len(weights), PART)]
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
