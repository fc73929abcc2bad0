"""Test images as counts: their metrics, their types and sizes of defects."""

import numpy as np
import pytest

from moleflow.evaluation.kept import KeptScores
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.statistics.counted import Counted

KINDS = np.array(["stain", "good", "hole", "hole", "good", "stain", "empty", "good"])


def kept() -> KeptScores:
    """Eight images of 20 × 20 pixels; the first stain has no mask, the empty defect's mask is all zero."""
    random = np.random.default_rng(0)
    truths = np.zeros((8, 20, 20), bool)
    truths[2, 3:5, 3:5] = truths[3, 8:12, 8:18] = truths[5, 0:2, 0:2] = True
    known = np.array([False, *[True] * 7])
    patches = (random.normal(size=truths.shape) + 2 * truths).astype(np.float32)
    labels = (KINDS != "good").astype(np.int64)
    images = random.normal(size=8) + labels
    names = np.array([f"{index}.png" for index in range(8)])
    return KeptScores(names, labels, KINDS, "t", np.array(["t"] * 8), images, -images, patches, patches, known,
                      truths[known], np.zeros((0, 2)))  # fmt: skip


def test_metrics_of_all_images_are_the_evaluations_own():
    scores = kept()
    found = Counted.of(scores, "oracle")
    expected = {**image_metrics(scores.labels, scores.oracle), **pixel_metrics(scores.truths, scores.maps("oracle"))}
    assert {name: value[0] for name, value in found.values(found.whole).items()} == pytest.approx(expected, abs=1e-3)
    routed = Counted.of(scores, "routed")
    auroc = image_metrics(scores.labels, scores.routed)["image_auroc"]
    assert routed.values(routed.whole)["image_auroc"][0] == pytest.approx(auroc)


def test_weights_choose_images_for_pixels_too():
    scores = kept()
    chosen = np.array([0, 1, 0, 1, 1, 0, 0, 2])
    found = Counted.of(scores, "oracle").values(chosen[None].astype(float))
    times = chosen[scores.known]
    maps = scores.maps("oracle")
    expected = pixel_metrics(np.repeat(scores.truths, times, 0), np.repeat(maps, times, 0))
    assert {name: found[name][0] for name in expected} == pytest.approx(expected, abs=1e-3)


def test_types_are_those_of_defects():
    types = Counted.of(kept(), "oracle").types
    assert {name: np.flatnonzero(chosen).tolist() for name, chosen in types.items()} == {
        "empty": [6], "hole": [2, 3], "stain": [0, 5],
    }  # fmt: skip


def test_sizes_need_a_mask_that_shows_something_and_edges_belong_below():
    tested = Counted.of(kept(), "oracle")
    assert tested.areas.tolist() == pytest.approx([np.nan, 0, 0.01, 0.1, 0, 0.01, 0, 0], nan_ok=True)
    sizes = {place: np.flatnonzero(chosen).tolist() for place, chosen in tested.sizes((0.01, 0.05)).items()}
    assert sizes == {0: [2, 5], 2: [3]}
