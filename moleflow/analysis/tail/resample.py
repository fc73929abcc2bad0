"""Bootstrap over images, which are what is drawn from a product; its patches are not independent."""

from collections.abc import Callable

import numpy as np

from moleflow.analysis.intervals import Interval

DRAWS = 1000


def over_images(values: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0) -> Interval:
    """A statistic of per-image values (n, …) and its 95 % percentile interval (Efron & Tibshirani 1993)."""
    rng, n = np.random.default_rng(seed), len(values)
    draws = [statistic(values[rng.integers(n, size=n)]) for _ in range(DRAWS)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(statistic(values)), float(low), float(high), n)


def of_two_groups(
    good: np.ndarray, bad: np.ndarray, statistic: Callable[[np.ndarray, np.ndarray], float], seed: int = 0
) -> Interval:
    """A statistic of two groups of images, each resampled on its own, with its 95 % percentile interval."""
    rng = np.random.default_rng(seed)
    draws = [
        statistic(good[rng.integers(len(good), size=len(good))], bad[rng.integers(len(bad), size=len(bad))])
        for _ in range(DRAWS)
    ]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(statistic(good, bad)), float(low), float(high), len(good) + len(bad))
