"""Paired tests against slow references, and how often they cry wolf."""

import numpy as np
import pytest

from moleflow.evaluation.metrics import image_metrics
from moleflow.evaluation.statistics.counts import count_images, count_pixels, image_values, pixel_values
from moleflow.evaluation.statistics.paired import Difference, delong, exchanged, mean_difference, p_value
from moleflow.utils.errors import MoleflowError

LABELS = np.repeat([0, 1], [30, 20])


def pair(seed: int = 0, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two detectors that share half of their noise; the second is better by ``gain``."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=50)
    first = shared + random.normal(size=50) + LABELS
    return first, shared + random.normal(size=50) + (1 + gain) * LABELS


def slow_delong(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Structural components by all pairs, as the paper of 1988 writes them."""
    good, bad = LABELS == 0, LABELS == 1
    v10, v01 = [], []
    for scores in (first, second):
        wins = (scores[bad][:, None] > scores[good]) + 0.5 * (scores[bad][:, None] == scores[good])
        v10.append(wins.mean(1))
        v01.append(wins.mean(0))
    s = np.cov(v10) / bad.sum() + np.cov(v01) / good.sum()
    return v10[1].mean() - v10[0].mean(), s[0, 0] + s[1, 1] - 2 * s[0, 1]


@pytest.mark.parametrize("digits", [8, 0], ids=["plain", "tied"])
def test_delong_is_that_of_all_pairs(digits):
    first, second = (np.round(scores, digits) for scores in pair(gain=0.5))
    found = delong(LABELS, first, second)
    assert found == pytest.approx(slow_delong(first, second))
    aurocs = [image_metrics(LABELS, scores)["image_auroc"] for scores in (first, second)]
    assert found.value == pytest.approx(aurocs[1] - aurocs[0])


def test_delong_of_equal_and_of_very_different_detectors():
    first, _ = pair()
    assert delong(LABELS, first, 3 * first + 1).p == 1.0
    assert delong(LABELS, first, LABELS + 0.01 * first).p < 0.01
    assert delong(LABELS, LABELS, LABELS) == (0.0, 0.0)
    assert Difference(0.1, 0.0).p == 0.0
    with pytest.raises(MoleflowError, match="found 1 and 3"):
        delong(np.array([0, 0, 0, 1]), np.arange(4), np.arange(4))


def test_a_two_sided_p_value_of_a_known_z():
    assert Difference(1.96, 1.0).p == pytest.approx(0.05, abs=1e-4)
    assert Difference(-1.96, 1.0).p == pytest.approx(0.05, abs=1e-4)


def test_the_mean_of_independent_differences():
    mean = mean_difference([Difference(0.2, 0.04), Difference(-0.1, 0.01)])
    assert mean == pytest.approx((0.05, 0.0125))


def test_p_values_of_equal_detectors_are_uniform():
    """Of 200 pairs of equally good detectors about one in ten has p < 0.1."""
    found = [delong(LABELS, *pair(seed)).p for seed in range(200)]
    assert 0.05 < np.mean(np.array(found) < 0.1) < 0.16
    found = []
    for seed in range(100):
        first, second = (count_images(LABELS, scores) for scores in pair(seed))
        null = exchanged(first, second, image_values, 99, seed=seed)["image_ap"]
        found.append(p_value(_ap(second) - _ap(first), null))
    assert 0.04 < np.mean(np.array(found) < 0.1) < 0.18


def _ap(counts) -> float:
    return float(image_values(counts.weighted(np.ones((1, 50))))["image_ap"][0])


def test_permutation_and_delong_agree():
    for gain in (0.0, 1.0):
        scores = pair(4, gain)
        first, second = (count_images(LABELS, one) for one in scores)
        null = exchanged(first, second, image_values, 999, seed=0)["image_auroc"]
        difference = delong(LABELS, *scores)
        assert p_value(difference.value, null) == pytest.approx(difference.p, abs=0.06)


def test_exchanging_swaps_whole_images_of_ranks():
    """With two images there are four ways to exchange; each is computed by hand."""
    labels, a, b = np.array([0, 1]), np.array([1.0, 2.0]), np.array([20.0, 10.0])
    null = exchanged(count_images(labels, a), count_images(labels, b), image_values, 64, seed=0)["image_auroc"]
    assert set(null.tolist()) == {-1.0, 0.0, 1.0}
    again = exchanged(count_images(labels, a), count_images(labels, b), image_values, 64, seed=0)["image_auroc"]
    assert np.array_equal(null, again)


def test_a_better_map_is_told_from_a_worse_one_and_scale_does_not_matter():
    random = np.random.default_rng(0)
    truths = np.zeros((16, 12, 12), bool)
    truths[::2, 3:7, 3:7] = True
    noise = random.normal(size=truths.shape)
    counts = [count_pixels(truths, scale * (noise + gain * truths)) for scale, gain in ((1, 0.5), (9, 1.5), (5, 0.5))]
    one = np.ones((1, 16))
    aps = [pixel_values(part.weighted(one))["pixel_ap"][0] for part in counts]
    nulls = [exchanged(counts[0], other, pixel_values, 199, seed=0)["pixel_ap"] for other in counts[1:]]
    assert p_value(aps[1] - aps[0], nulls[0]) < 0.02
    assert p_value(aps[2] - aps[0], nulls[1]) == 1.0


def test_p_is_never_zero_and_none_without_a_null():
    assert p_value(5.0, np.zeros(99)) == 0.01
    assert p_value(0.0, np.zeros(99)) == 1.0
    assert p_value(0.0, np.array([np.nan])) is None
