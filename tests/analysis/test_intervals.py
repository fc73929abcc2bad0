"""Intervals against closed forms."""

import math

import pytest

from moleflow.analysis.intervals import mean_interval, share_interval


def test_mean_interval_is_students():
    found = mean_interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)  # t(0.975, 2) from a table, s = 1
    assert (found.value, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - half)
    assert found.high == pytest.approx(2 + half)
    assert found.says_nothing


def test_one_observation_has_no_interval():
    found = mean_interval([4.0])
    assert math.isnan(found.low)
    assert found.says_nothing
    assert found.shown() == "4.0 (one observation)"


def test_an_effect_far_from_zero_says_something():
    assert not mean_interval([4.0, 4.1, 3.9]).says_nothing
    assert not mean_interval([-4.0, -4.1, -3.9]).says_nothing


def test_share_interval_is_wilsons():
    z, n, hits = 1.959963984540054, 20, 18
    centre = (hits / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(0.9 * 0.1 / n + z * z / (4 * n * n))
    found = share_interval(hits, n)
    assert (found.low, found.high) == (pytest.approx(centre - half), pytest.approx(centre + half))


def test_a_share_of_all_is_not_certain():
    assert share_interval(634, 634).low == pytest.approx(634 / (634 + 1.959963984540054**2))
