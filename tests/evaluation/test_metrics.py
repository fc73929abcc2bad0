"""Metrics against scikit-learn and against a slow AUPRO that follows the definition word for word."""

import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from moleflow.evaluation.metrics import IMAGE_METRICS, PIXEL_METRICS, image_metrics, pixel_metrics
from moleflow.utils.errors import MoleflowError

SEEDS = range(12)


def reference_regions(truth: np.ndarray) -> list[set[tuple[int, int]]]:
    """8-connected regions of one (h, w) mask, by flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(truth)}
    regions = []
    while left:
        region, border = set(), [left.pop()]
        while border:
            y, x = border.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            border += near
        regions.append(region)
    return regions


def reference_aupro(truths: np.ndarray, maps: np.ndarray, limit: float = 0.3) -> float:
    """One point per distinct threshold and one overlap per region, joined by straight lines up to `limit`."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        found = maps >= threshold
        overlaps = [
            np.mean([found[image][pixel] for pixel in region])
            for image in range(len(truths))
            for region in reference_regions(truths[image])
        ]
        points.append((found[~truths].mean(), float(np.mean(overlaps))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            height = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + height) / 2
    return area / limit


def reference_f1max(labels: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(2 * precision * recall / (precision + recall)))


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Small masks and maps; every second seed has few distinct scores, every third large defects."""
    rng = np.random.default_rng(seed)
    truths = rng.random((3, 9, 11)) < (0.5 if seed % 3 == 0 else 0.12)
    maps = rng.normal(size=truths.shape) + 0.8 * truths
    return truths, (maps.round() if seed % 2 else maps).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_pixel_metrics_equal_the_references(seed: int) -> None:
    truths, maps = random_case(seed)
    found = pixel_metrics(truths, maps)
    assert tuple(found) == PIXEL_METRICS
    labels, scores = truths.ravel(), maps.ravel()
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["pixel_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found["pixel_f1max"] == pytest.approx(reference_f1max(labels, scores), abs=1e-12)
    assert found["aupro"] == pytest.approx(reference_aupro(truths, maps), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_image_metrics_equal_the_references(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation([0, 1, *rng.integers(0, 2, 40)])
    scores = rng.normal(size=42) + labels
    scores = scores.round() if seed % 2 else scores
    found = image_metrics(labels, scores)
    assert tuple(found) == IMAGE_METRICS
    assert found["image_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["image_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found["image_f1max"] == pytest.approx(reference_f1max(labels, scores), abs=1e-12)


def test_golden_image_values() -> None:
    """Scores 4 3 2 1 with labels 1 0 1 0: one of four pairs is wrong."""
    found = image_metrics(np.array([1, 0, 1, 0]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert found == pytest.approx({"image_auroc": 3 / 4, "image_ap": (1 + 2 / 3) / 2, "image_f1max": 4 / 5})


def test_golden_aupro_cut_inside_a_tie() -> None:
    """Two regions (1 and 3 pixels), ten normal pixels: 1/2 overlap for free, then a tie leads to FPR 0.4, PRO 1.

    Up to 0.3 the line rises from 0.5 to 0.875; its mean height is 0.6875.
    """
    truths = np.zeros((1, 2, 7), dtype=bool)
    truths[0, 0, 0] = truths[0, 0, 4:7] = True
    maps = np.zeros((1, 2, 7), dtype=np.float32)
    maps[0, 0, 0] = 2
    maps[0, 0, 4:7] = maps[0, 1, :4] = 1
    assert pixel_metrics(truths, maps)["aupro"] == pytest.approx(0.6875, abs=1e-12)


def test_golden_perfect_and_inverted_maps() -> None:
    truths = np.zeros((2, 8, 8), dtype=bool)
    truths[:, 2:4, 2:7] = True
    assert pixel_metrics(truths, truths.astype(np.float32)) == dict.fromkeys(PIXEL_METRICS, 1.0)
    inverted = pixel_metrics(truths, 1 - truths.astype(np.float32))
    assert inverted["pixel_auroc"] == inverted["aupro"] == 0.0


def test_regions_touching_at_a_corner_are_one_and_regions_of_neighbouring_images_are_not() -> None:
    """A diagonal pair is one region; the same place in the next image is another, so only half is found."""
    truths = np.zeros((2, 6, 6), dtype=bool)
    truths[0, 1, 1] = truths[0, 2, 2] = truths[1, 1, 1] = True
    maps = np.zeros((2, 6, 6), dtype=np.float32)
    maps[0, 1, 1] = 1
    maps[0, 2, 2] = maps[1, 1, 1] = -1
    assert pixel_metrics(truths, maps)["aupro"] == pytest.approx(0.25)


def test_constant_scores_are_chance() -> None:
    truths = np.zeros((2, 4, 4), dtype=bool)
    truths[0, 0, :2] = True
    share = 2 / 32
    expected = {"pixel_auroc": 0.5, "pixel_ap": share, "pixel_f1max": 2 * share / (1 + share), "aupro": 0.15}
    assert pixel_metrics(truths, np.full((2, 4, 4), 7.0, dtype=np.float32)) == pytest.approx(expected)
    assert image_metrics(np.array([0, 1, 1]), np.ones(3))["image_auroc"] == 0.5


@pytest.mark.parametrize("value", [False, True])
def test_one_label_gives_none(value: bool) -> None:
    labels = np.full((2, 5, 5), value)
    maps = np.random.default_rng(0).random((2, 5, 5), dtype=np.float32)
    assert pixel_metrics(labels, maps) == dict.fromkeys(PIXEL_METRICS)
    assert image_metrics(labels.ravel(), maps.ravel()) == dict.fromkeys(IMAGE_METRICS)


def test_nothing_to_measure_gives_none() -> None:
    assert image_metrics(np.zeros(0), np.zeros(0)) == dict.fromkeys(IMAGE_METRICS)
    assert pixel_metrics(np.zeros((0, 4, 4)), np.zeros((0, 4, 4))) == dict.fromkeys(PIXEL_METRICS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [0, 0, 0, 0]])
def test_scores_that_are_no_numbers_are_refused(bad: float, labels: list[int]) -> None:
    scores = np.array([0.1, bad, 0.3, 0.2], dtype=np.float32)
    with pytest.raises(MoleflowError, match=r"scores contain NaN or infinite values \(1 of 4\)"):
        image_metrics(np.array(labels), scores)
    with pytest.raises(MoleflowError, match="scores contain NaN"):
        pixel_metrics(np.array(labels).reshape(1, 2, 2), scores.reshape(1, 2, 2))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(MoleflowError, match=r"\(2, 4, 4\) and scores of \(2, 4, 5\)"):
        pixel_metrics(np.zeros((2, 4, 4), dtype=bool), np.zeros((2, 4, 5)))
    with pytest.raises(MoleflowError, match="one score per label"):
        image_metrics(np.zeros(3), np.zeros(2))


def test_inputs_are_left_as_they_were() -> None:
    truths, maps = random_case(1)
    before = truths.copy(), maps.copy()
    pixel_metrics(truths, maps)
    assert np.array_equal(truths, before[0])
    assert np.array_equal(maps, before[1])


@pytest.mark.slow
@pytest.mark.parametrize("defective", [0.02, 0.5])
def test_a_class_of_160_maps_takes_seconds(defective: float) -> None:
    """10.5 M pixels, all four metrics, on one core."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 160, 256, 256)).astype(np.float32)
    maps, field = ndimage.gaussian_filter(noise, (0, 0, 4, 4))
    truths = field > np.quantile(field, 1 - defective)
    tracemalloc.start()
    start = time.perf_counter()
    found = pixel_metrics(truths, maps)
    seconds = time.perf_counter() - start
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"\n{defective:.0%} defective: {seconds:.2f} s, {peak_mib:.0f} MiB beside the inputs, {found}")
    assert seconds < 10
    assert peak_mib < 1024
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(truths.ravel(), maps.ravel()), abs=1e-9)
