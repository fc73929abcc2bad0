"""From scores to a cell's result, on numbers that can be counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moleflow.data.sample import Sample
from moleflow.evaluation.scored import Scored
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN
from moleflow.study.results import at_threshold, judged, pooled, threshold_of


def scored(scores: list[float], labels: list[int]) -> Scored:
    """Images that exist in name only."""
    samples = [
        Sample(Path(f"{place}.png"), "a", label, "dent" if label else "good", None)
        for place, label in enumerate(labels)
    ]
    return Scored(tuple(samples), np.array(scores), np.zeros((len(scores), 4, 4)))


def test_decisions_are_counted():
    found = at_threshold(scored([1, 2, 3, 4, 5], [0, 1, 0, 1, 1]), 2.5)
    assert (found["tp"], found["fp"], found["tn"], found["fn"]) == (2, 1, 1, 1)
    assert found["accuracy"] == 3 / 5
    assert found["precision"] == found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)


def test_a_score_at_the_threshold_is_normal_and_rates_without_a_denominator_are_none():
    found = at_threshold(scored([1, 2], [0, 0]), 2.0)
    assert (found["tn"], found["fp"], found["accuracy"]) == (2, 0, 1.0)
    assert found["precision"] is found["recall"] is found["f1"] is None


def test_the_threshold_separates_and_without_defects_is_the_largest_normal_score():
    limit = threshold_of(scored([1, 2, 5, 6], [0, 0, 1, 1]))
    assert 2 <= limit < 5
    assert threshold_of(scored([1, 4, 2], [0, 0, 0])) == 4


def test_pooling_keeps_images_and_scores_together():
    both = pooled([scored([1, 2], [0, 1]), scored([3], [1])])
    np.testing.assert_array_equal(both.images, [1, 2, 3])
    np.testing.assert_array_equal(both.labels, [0, 1, 1])
    assert both.maps.shape == (3, 4, 4)


def test_perfect_maps_have_perfect_pixel_metrics(bench: Bench):
    samples = bench.part(CLEAN, "fabric", "test")
    maps = np.stack([np.zeros((16, 16)) if truth is None else truth.astype(float) for truth in bench.truths(samples)])
    perfect = Scored(samples, np.array([float(sample.label) for sample in samples]), maps)
    found = judged(bench, perfect, 0.5)
    assert found["metrics"]["image_auroc"] == found["metrics"]["pixel_ap"] == found["at_threshold"]["f1"] == 1
    worse = judged(bench, replace(perfect, maps=-maps), 0.5)["metrics"]
    assert worse["pixel_auroc"] == 0
