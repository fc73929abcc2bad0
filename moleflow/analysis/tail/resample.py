"""Bootstrap over images, which are what is drawn from a product; its patches are not independent."""

from collections.abc import Callable, Sequence

import numpy as np

from moleflow.analysis.intervals import Interval

DRAWS = 1000


def over_images(values: np.ndarray, statistic: Callable[[np.ndarray], float], seed: int = 0) -> Interval:
    """A statistic of per-image values (n, …) and its 95 % percentile interval (Efron & Tibshirani 1993)."""
    rng, n = np.random.default_rng(seed), len(values)
    draws = [statistic(values[rng.integers(n, size=n)]) for _ in range(DRAWS)]
    return Interval(float(statistic(values)), *_middle(draws), n)


def of_two_groups(
    good: np.ndarray, bad: np.ndarray, statistic: Callable[[np.ndarray, np.ndarray], float], seed: int = 0
) -> Interval:
    """A statistic of two groups of images, each resampled on its own, with its 95 % percentile interval."""
    rng = np.random.default_rng(seed)
    draws = [
        statistic(good[rng.integers(len(good), size=len(good))], bad[rng.integers(len(bad), size=len(bad))])
        for _ in range(DRAWS)
    ]
    return Interval(float(statistic(good, bad)), *_middle(draws), len(good) + len(bad))


def _middle(draws: Sequence[float]) -> tuple[float, float]:
    """Where 95 % of the draws lie that have a value (NaN: none); NaN where none has."""
    known = [value for value in draws if not np.isnan(value)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (np.nan, np.nan)
    return float(low), float(high)
