"""Jackknife, rank correlation and Mantel's test against small cases worked out by hand."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr, t

from moleflow.analysis.weights.association import mantel, over_tasks, spearman


def test_the_jackknife_of_additive_pairs_is_the_standard_error_of_a_mean():
    """With pairs a_i + a_j the mean over pairs is 2·mean(a), so its error is twice that of the mean of a."""
    own = {"w": 1.0, "x": 2.0, "y": 4.0, "z": 9.0}
    found = over_tasks({(a, b): own[a] + own[b] for a, b in combinations(own, 2)})
    error = 2 * np.std(list(own.values()), ddof=1) / 2
    assert found.mean == pytest.approx(8)
    assert (found.low, found.high) == pytest.approx((8 - t.ppf(0.975, 3) * error, 8 + t.ppf(0.975, 3) * error))
    assert not found.excludes_zero
    assert over_tasks(dict.fromkeys(combinations("abc", 2), 3.0)).excludes_zero


def test_one_pair_has_no_interval():
    found = over_tasks({("a", "b"): 2.0})
    assert found == (2.0, None, None)
    assert not found.excludes_zero
    assert found.shown(unit="°") == "2.0° (one pair: no interval)"


def test_p_counts_the_orderings_that_are_as_extreme():
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx((1, 2 / 24, 4))
    found = spearman([1, 2, 3, 4], [3, 4, 1, 2])
    assert found.rho == pytest.approx(spearmanr([1, 2, 3, 4], [3, 4, 1, 2]).statistic)
    assert found.rho == pytest.approx(-0.6)
    assert found.p == pytest.approx(0.4166667, abs=1e-6)


def test_many_values_are_permuted_by_chance_and_reproducibly():
    x = np.arange(12.0)
    y = np.random.default_rng(0).permutation(12).astype(float)
    found = spearman(x, y)
    assert found == spearman(x, y)
    assert found.p == pytest.approx(spearmanr(x, y).pvalue, abs=0.03)


def test_what_does_not_vary_has_no_correlation():
    assert spearman([1, 1, 1, 1], [1, 2, 3, 4]) == (None, None, 4)
    assert spearman([1, 2], [1, 2]).rho is None
    assert spearman([1, 2], [1, 2]).shown() == "not defined with n = 2"


def test_mantel_permutes_tasks_not_pairs():
    places = np.array([0.0, 1.0, 3.0, 7.0])
    x = np.abs(places[:, None] - places)
    found = mantel(x, x**2)
    assert found.rho == pytest.approx(1)
    assert found.p == pytest.approx(1 / 24), "of the 24 orders only the true one keeps all six distances in rank"
    even = np.abs(np.arange(4)[:, None] - np.arange(4.0))
    assert mantel(even, even).p == pytest.approx(2 / 24), "read backwards, equal steps are the same"
    order = [2, 0, 3, 1]
    assert mantel(x, x[np.ix_(order, order)]).rho < 1
