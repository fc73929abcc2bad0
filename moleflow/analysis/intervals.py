"""How sure a number is: intervals of a mean and of a share."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """A value and its 95 % interval.

    Attributes:
        value: the estimate.
        low, high: the interval; both NaN where there is none, as of one observation.
        n: observations.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def says_nothing(self) -> bool:
        """Whether zero lies within, or there is no interval."""
        return not (self.low > 0 or self.high < 0)

    def shown(self, digits: int = 1) -> str:
        """``value (low to high)``."""
        if np.isnan(self.low):
            return f"{self.value:z.{digits}f}" + " (one observation)" * (self.n == 1)
        return f"{self.value:z.{digits}f} ({self.low:z.{digits}f} to {self.high:z.{digits}f})"


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean and Student's t interval: mean ± t·s/√n with n − 1 degrees of freedom (Student 1908)."""
    known = np.asarray(values, dtype=float)
    mean, n = float(known.mean()), len(known)
    if n < 2:
        return Interval(mean, np.nan, np.nan, n)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def share_interval(hits: int, n: int, level: float = 0.95) -> Interval:
    """Share hits/n and its score interval (Wilson 1927), which holds for shares of 0 and 1 too."""
    found = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    return Interval(hits / n, float(found.low), float(found.high), n)
