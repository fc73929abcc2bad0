"""Uncertainty of quantities of tasks and of pairs of tasks: jackknife, rank correlation with permutations, Mantel."""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from math import factorial, sqrt
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata, t

from moleflow.analysis.weights.spectra import Array

Pair = tuple[str, str]

MOST = 5040
"""Permutations that are all tried; beyond that as many are drawn."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval; None where two tasks or fewer leave none."""

    mean: float
    low: float | None
    high: float | None

    def shown(self, form: str = ".1f", unit: str = "") -> str:
        """``6.5° (95 % 5.7 to 7.4)``."""
        if self.low is None:
            return f"{self.mean:{form}}{unit} (one pair: no interval)"
        return f"{self.mean:{form}}{unit} (95 % {self.low:{form}} to {self.high:{form}})"

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def over_tasks(values: Mapping[Pair, float]) -> Estimate:
    """Mean over pairs of tasks; the interval is the jackknife's, one task left out at a time, with Student's t.

    Pairs that share a task are not independent, tasks are.
    """
    tasks = sorted({task for pair in values for task in pair})
    whole = float(np.mean(list(values.values())))
    if len(tasks) < 3:
        return Estimate(whole, None, None)
    without = [np.mean([v for pair, v in values.items() if task not in pair]) for task in tasks]
    count = len(tasks)
    error = sqrt((count - 1) / count * float(np.sum(np.square(without - np.mean(without)))))
    reach = float(t.ppf(0.975, count - 1)) * error
    return Estimate(whole, whole - reach, whole + reach)


class Correlation(NamedTuple):
    """Spearman's ρ, its two-sided permutation p, and how many tasks were permuted; None where ρ is not defined."""

    rho: float | None
    p: float | None
    n: int

    def shown(self) -> str:
        """``ρ = −0.40, p = 0.75, n = 4``."""
        if self.rho is None or self.p is None:
            return f"not defined with n = {self.n}"
        return f"ρ = {self.rho:.2f}, permutation p = {self.p:.2f}, n = {self.n}"


def spearman(x: Sequence[float], y: Sequence[float], seed: int = 0) -> Correlation:
    """Spearman's ρ of n pairs of numbers; p is the share of orderings of y with |ρ| at least as large."""
    ranked, other = rankdata(x), rankdata(y)
    return _tested(len(x), lambda order: _pearson(ranked, other[order]), seed)


def mantel(x: Array, y: Array, seed: int = 0) -> Correlation:
    """Spearman's ρ of two (n, n) tables of distances, above the diagonal; p permutes the tasks (Mantel 1967)."""
    upper = np.triu_indices(len(x), 1)
    ranked = rankdata(x[upper])
    return _tested(len(x), lambda order: _pearson(ranked, rankdata(y[np.ix_(order, order)][upper])), seed)


def _tested(count: int, rho: Callable[[list[int]], float | None], seed: int) -> Correlation:
    observed = rho(list(range(count))) if count > 2 else None
    if observed is None:
        return Correlation(None, None, count)
    found = [value for order in _orders(count, seed) if (value := rho(order)) is not None]
    return Correlation(observed, float(np.mean([abs(value) >= abs(observed) - 1e-12 for value in found])), count)


def _orders(count: int, seed: int) -> list[list[int]]:
    if factorial(count) <= MOST:
        return [list(order) for order in permutations(range(count))]
    generator = np.random.default_rng(seed)
    return [list(range(count)), *(generator.permutation(count).tolist() for _ in range(MOST))]


def _pearson(x: Array, y: Array) -> float | None:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / size if size > 0 else None
