"""Bootstrap intervals: stratified, seeded, as wide as theory says."""

import numpy as np
import pytest

from moleflow.evaluation.metrics import image_metrics
from moleflow.evaluation.statistics.bootstrap import (
    bootstrap,
    draw,
    draw_groups,
    interval,
    mean_over_classes,
    resampled,
)
from moleflow.evaluation.statistics.counts import count_images, image_values

LABELS = np.repeat([0, 1], [30, 20])


def scores(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=50) + 1.2 * LABELS


def of(labels: np.ndarray, values: np.ndarray):
    counts = count_images(labels, values)
    return lambda weights: image_values(counts.weighted(weights))


def test_draws_are_stratified_and_seeded():
    weights = draw(LABELS, 40, seed=1)
    assert (weights[:, :30].sum(1) == 30).all()
    assert (weights[:, 30:].sum(1) == 20).all()
    assert np.array_equal(weights, draw(LABELS, 40, seed=1))
    assert not np.array_equal(weights, draw(LABELS, 40, seed=2))
    assert len(np.unique(weights)) > 3


def test_values_are_those_of_a_slow_loop():
    found = bootstrap(of(LABELS, scores()), LABELS, 150, seed=3)
    for row, weights in enumerate(draw(LABELS, 150, seed=3).astype(int)):
        expected = image_metrics(np.repeat(LABELS, weights), np.repeat(scores(), weights))
        assert {name: values[row] for name, values in found.items()} == pytest.approx(expected)


def test_the_interval_of_an_auroc_is_as_wide_as_hanley_and_mcneil_say():
    """Their formula holds for negative exponential scores; the bootstrap's standard deviation comes within 15 %."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 400)
    values = random.exponential(size=800) * np.where(labels, 3.0, 1.0)
    found = bootstrap(of(labels, values), labels, 400, seed=0)["image_auroc"]
    a = image_metrics(labels, values)["image_auroc"]
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    expected = np.sqrt((a * (1 - a) + 399 * (q1 - a * a) + 399 * (q2 - a * a)) / 400**2)
    assert found.std() == pytest.approx(expected, rel=0.15)
    low, high = interval(found)
    assert low < a < high
    assert high - low == pytest.approx(2 * 1.96 * expected, rel=0.2)


def test_intervals_leave_out_what_does_not_apply():
    values = np.concatenate([np.linspace(0, 1, 101), [np.nan]])
    assert interval(values, 0.9) == pytest.approx((0.05, 0.95))
    assert interval(np.array([np.nan])) is None
    assert interval(np.array([])) is None


def test_the_mean_over_classes_is_taken_within_each_resampling():
    first, second = np.array([0.2, 0.4]), np.array([0.6, 0.2])
    assert mean_over_classes([first, second]) == pytest.approx([0.4, 0.3])
    assert mean_over_classes([first, np.full(2, np.nan)]) == pytest.approx(first)
    assert mean_over_classes([np.full(2, np.nan)]).size == 0


def test_images_of_a_group_are_taken_together_and_as_many_groups_as_there_are():
    groups = np.array(["b", "a", "b", "c", "a", "b"])
    weights = draw_groups(groups, 400, seed=3)
    assert weights.shape == (400, 6)
    assert weights.dtype == float
    for name in "abc":
        own = weights[:, groups == name]
        assert (own == own[:, :1]).all()
    first = weights[:, [1, 0, 3]]
    assert (first.sum(1) == 3).all()
    assert np.allclose(first.mean(0), 1, atol=0.15), "each is as likely"
    assert np.allclose(first.var(0), 2 / 3, atol=0.15), "of a multinomial draw"
    assert (draw_groups(groups, 400, seed=3) == weights).all()
    assert (draw_groups(groups, 400, seed=4) != weights).any()


def test_a_value_is_less_sure_where_images_are_versions_of_few():
    groups = np.repeat(np.arange(10), 20)
    values = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    mean_of = lambda weights: {"mean": weights @ values / weights.sum(1)}
    together = resampled(mean_of, draw_groups(groups, 2000, seed=0))["mean"].std()
    apart = bootstrap(mean_of, np.zeros(200), 2000, seed=0)["mean"].std()
    assert together == pytest.approx(values.std() / 10**0.5, rel=0.05)
    assert together / apart == pytest.approx(20**0.5, rel=0.05)
