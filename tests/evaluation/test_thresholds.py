"""Thresholds by hand, against a slow reference, and at their edges; decisions counted by hand."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from moleflow.evaluation.thresholds import decision_metrics, f1_max_threshold, good_only
from moleflow.utils.errors import MoleflowError, UsageError


def test_f1_max_lies_half_way_below_the_lowest_score_it_calls_anomalous():
    assert f1_max_threshold(np.array([1.0, 2.0, 4.0, 5.0]), np.array([0, 0, 1, 1])) == 3.0
    assert f1_max_threshold(np.array([1.0, 2.0, 4.0, 5.0]), np.array([0, 1, 0, 1])) == 1.5


@pytest.mark.parametrize("seed", range(8))
def test_no_threshold_is_better_than_f1_max(seed: int):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, 30)
    labels[0] = 1
    scores = np.round(random.normal(labels * 0.8, 1.0), 1)  # with ties
    found = f1_score(labels, scores > f1_max_threshold(scores, labels))
    others = [f1_score(labels, scores > limit) for limit in [-1e9, *scores, *(scores + 0.05)]]
    assert found == pytest.approx(max(others))


def test_of_equally_good_thresholds_the_highest_counts():
    """Above 3: 2·1/(2 + 0 + 1). Above 0.5: 2·2/(4 + 2 + 0). Both are 2/3."""
    assert f1_max_threshold(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 0, 1])) == 3.5


def test_where_all_are_defective_all_are_called_so():
    scores = np.array([3.0, 3.0, 5.0])
    threshold = f1_max_threshold(scores, np.ones(3))
    assert (scores > threshold).all()
    assert threshold == pytest.approx(3.0)


def test_validation_without_anomalies_is_refused_or_falls_back_as_asked():
    scores, labels = np.arange(39.0), np.zeros(39)
    with pytest.raises(UsageError, match=r"F1 needs a defective validation image, found none among 39: add some"):
        f1_max_threshold(scores, labels)
    assert f1_max_threshold(scores, labels, good_only(0.05)) == 37.0, "one of 40 may exceed it"
    with pytest.raises(UsageError, match="none among 0"):
        f1_max_threshold(scores[:0], labels[:0], good_only(0.05))


def test_the_fallback_is_not_asked_where_there_are_anomalies():
    scores, labels = np.array([1.0, 2.0, 4.0]), np.array([0, 0, 1])
    assert f1_max_threshold(scores, labels, good_only(0.05)) == 3.0


def test_scores_that_make_no_sense_are_refused():
    with pytest.raises(MoleflowError, match=r"found \(2,\) scores and \(3,\) labels"):
        f1_max_threshold(np.zeros(2), np.zeros(3))
    with pytest.raises(MoleflowError, match="1 of 2 validation scores are NaN or infinite"):
        f1_max_threshold(np.array([0.0, np.nan]), np.array([0, 1]))


def test_decisions_are_counted_as_sklearn_does():
    random = np.random.default_rng(0)
    labels, called = random.integers(0, 2, 50), random.integers(0, 2, 50)
    found = decision_metrics(labels, called)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, called))
    assert found["precision"] == pytest.approx(precision_score(labels, called))
    assert found["recall"] == pytest.approx(recall_score(labels, called))
    assert found["false_alarm_rate"] == pytest.approx(1 - recall_score(1 - labels, 1 - called))


def test_a_decision_metric_without_images_is_not_zero():
    assert decision_metrics(np.array([0, 0]), np.array([0, 0])) == {
        "accuracy": 1.0, "precision": None, "recall": None, "false_alarm_rate": 0.0,
    }  # fmt: skip
    assert decision_metrics(np.array([1]), np.array([1]))["false_alarm_rate"] is None
    assert set(decision_metrics(np.zeros(0), np.zeros(0)).values()) == {None}
