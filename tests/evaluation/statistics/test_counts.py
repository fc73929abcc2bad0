"""Counts give the metrics that sorting gives, also of resampled images."""

import numpy as np
import pytest

from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.statistics.counts import count_images, count_pixels, image_values, pixel_values
from moleflow.utils.errors import MoleflowError

RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [20, 15])
WEIGHTS = np.vstack([np.ones(35), RANDOM.integers(0, 3, (6, 35))])


def products(n: int = 12, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Truths with one or two regions on every other image, and maps that find them somewhat."""
    random = np.random.default_rng(1)
    truths = np.zeros((n, side, side), bool)
    for index in range(0, n, 2):
        truths[index, 5 : 9 + index % 5, 4:10] = True
        truths[index, 20:24, 20 : 22 + index % 4] = index % 4 == 0
    maps = random.normal(size=truths.shape) + 1.6 * truths + random.normal(size=(n, 1, 1))
    return truths, maps.astype(np.float32)


@pytest.mark.parametrize("scores", [RANDOM.normal(size=35) + LABELS, RANDOM.integers(0, 4, 35).astype(float),
                                    np.zeros(35)], ids=["plain", "tied", "all equal"])  # fmt: skip
def test_image_metrics_of_weighted_images_are_those_of_repeated_ones(scores):
    found = image_values(count_images(LABELS, scores).weighted(WEIGHTS))
    for row, weights in enumerate(WEIGHTS.astype(int)):
        expected = image_metrics(np.repeat(LABELS, weights), np.repeat(scores, weights))
        assert {name: value[row] for name, value in found.items()} == pytest.approx(expected)


def test_pixel_metrics_of_weighted_images_are_those_of_repeated_ones():
    truths, maps = products()
    weights = np.vstack([np.ones(12, int), np.random.default_rng(2).integers(0, 3, (4, 12))])
    found = pixel_values(count_pixels(truths, maps).weighted(weights))
    for row, times in enumerate(weights):
        expected = pixel_metrics(np.repeat(truths, times, 0), np.repeat(maps, times, 0))
        assert {name: value[row] for name, value in found.items()} == pytest.approx(expected, abs=1e-3)


def test_aupro_cuts_at_the_limit_within_a_step():
    truths = np.zeros((2, 10, 10), bool)
    truths[0, 0, :5] = True
    maps = np.where(truths, 1.0, 0.0)
    maps[0, 0, :2] = maps[1] = 0.0  # two fifths of the region lie in the tie with all normal pixels
    found = pixel_values(count_pixels(truths, maps).weighted(np.ones((1, 2))))
    assert found["aupro"][0] == pytest.approx(pixel_metrics(truths, maps)["aupro"], abs=1e-9)


def test_columns_depend_on_ranks_alone():
    truths, maps = products()
    once, again = count_pixels(truths, maps), count_pixels(truths, 8 * maps)
    assert np.array_equal(once.normal, again.normal)
    assert np.array_equal(once.overlap, again.overlap)
    scores = RANDOM.normal(size=35)
    assert np.array_equal(count_images(LABELS, scores).normal, count_images(LABELS, np.exp(scores)).normal)
    assert np.array_equal(
        count_images(LABELS, scores).normal + count_images(LABELS, scores).defective,
        count_images(1 - LABELS, scores).normal + count_images(1 - LABELS, scores).defective,
    )


def test_every_pixel_and_region_is_counted_once():
    truths, maps = products()
    counts = count_pixels(truths, maps)
    assert counts.defective.sum(1).tolist() == truths.sum((1, 2)).tolist()
    assert (counts.defective + counts.normal).sum(1).tolist() == [1600] * 12
    assert counts.regions.tolist() == [2, 0, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0]
    assert counts.overlap.sum(1) == pytest.approx(counts.regions)


def test_what_does_not_apply_is_nan():
    ones = np.ones((1, 5))
    found = image_values(count_images(np.zeros(5), np.arange(5)).weighted(ones))
    assert all(np.isnan(value).all() for value in found.values())
    truths, maps = np.zeros((5, 8, 8), bool), np.random.default_rng(0).normal(size=(5, 8, 8))
    found = pixel_values(count_pixels(truths, maps).weighted(ones))
    assert all(np.isnan(value).all() for value in found.values())
    none = pixel_values(count_pixels(truths[:0], maps[:0]).weighted(np.ones((1, 0))))
    assert all(np.isnan(value).all() for value in none.values())


def test_shapes_must_agree():
    with pytest.raises(MoleflowError, match="expected a truth for each map"):
        count_pixels(np.zeros((2, 4, 4), bool), np.zeros((3, 4, 4)))


def test_regions_end_where_the_image_ends():
    truths = np.zeros((2, 8, 8), bool)
    truths[:, 2:4, 2:4] = True  # in the same place of both images
    counts = count_pixels(truths, np.random.default_rng(0).normal(size=truths.shape))
    assert counts.regions.tolist() == [1, 1]
