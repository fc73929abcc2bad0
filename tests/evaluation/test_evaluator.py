"""The evaluator on fake products: pooled scores, calibration, unknown images, predictions.csv."""

import csv
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_products import Data, Products
from fakes import TINY, product_features, trained
from sklearn.metrics import roc_auc_score

from moleflow.config.ablation import AblationConfig
from moleflow.config.variants import HybridRouter, PValue, RegionDecision, Reject, ZScore
from moleflow.evaluation.evaluator import Evaluator
from moleflow.evaluation.report.write import write_predictions
from moleflow.evaluation.thresholds import decision_metrics
from moleflow.extractors.batch import Batch
from moleflow.models.mole_nf import MoLEFlow

NAMES = ["a", "b"]


def model_of(config: AblationConfig = TINY, held_out: int = 20) -> MoLEFlow:
    model = trained(NAMES, config)
    for index, (name, task) in enumerate(model.tasks.items()):
        features = product_features(name, held_out, seed=7 + index)
        batches = [Batch(features, torch.zeros(held_out))] if held_out else []
        model.calibrate(task, lambda batches=batches: batches, 0.1)
    return model


@cache
def evaluated(config: AblationConfig = TINY, held_out: int = 20, strangers: bool = False):
    evaluator = Evaluator(model_of(config, held_out), Data(strangers), "squash")
    return evaluator, evaluator.evaluate(list(evaluator.model.tasks.values()))


def test_pooled_values_are_aurocs_of_raw_scores_and_of_excesses():
    evaluator, row = evaluated()
    labels, raw, excesses = [], [], []
    for scores in evaluator.scores.values():
        labels += scores.labels.tolist()
        for value, task in zip(scores.routed, scores.routed_tasks, strict=True):
            known = evaluator.model.reference[task].scores.numpy()
            raw.append(value)
            over = known - np.median(known)
            excesses.append((value - np.median(known)) / over.clip(0).mean())
    assert row.pooled_raw == pytest.approx(roc_auc_score(labels, raw))
    assert row.pooled_calibrated == pytest.approx(roc_auc_score(labels, excesses))
    assert row.pooled_raw != row.pooled_calibrated
    assert row.pooled_unit == "mean excesses"


def test_p_values_are_pooled_where_the_run_chose_them():
    evaluator, row = evaluated(replace(TINY, calibration=PValue()), held_out=60)
    labels = np.concatenate([scores.labels for scores in evaluator.scores.values()])
    p = np.concatenate([evaluator.calibrated(s.routed, s.routed_tasks) for s in evaluator.scores.values()])
    assert row.pooled_calibrated == pytest.approx(roc_auc_score(labels, -p))
    assert row.pooled_unit == "p-values"
    assert row.pooled_calibrated > 0.5
    assert len(set(p)) < len(p), "at 60 reference scores p-values are shares"


@pytest.mark.parametrize("held_out", [0, 1])
@pytest.mark.parametrize("calibration", [TINY.calibration, ZScore(), PValue()], ids=lambda c: type(c).__name__)
def test_too_few_reference_scores_leave_calibrated_empty_and_the_rest_as_it_is(held_out, calibration):
    _, row = evaluated(replace(TINY, calibration=calibration), held_out)
    _, known = evaluated()
    assert row.pooled_calibrated is None
    assert row.pooled_raw == known.pooled_raw
    assert [result.oracle for result in row.classes] == [result.oracle for result in known.classes]
    assert [result.reference_n for result in row.classes] == [held_out] * 2


def test_one_task_without_reference_scores_leaves_calibrated_empty():
    model = model_of()
    model.calibrate(model.tasks["b"], lambda: [], 0.1)
    row = Evaluator(model, Data(), "squash").evaluate(list(model.tasks.values()))
    assert row.pooled_calibrated is None
    assert row.pooled_raw is not None
    assert [result.reference_n for result in row.classes] == [20, 0]


def test_a_z_score_does_not_change_the_ranks_within_a_task():
    _, row = evaluated(replace(TINY, calibration=ZScore()))
    _, raw = evaluated()
    assert [result.oracle for result in row.classes] == [result.oracle for result in raw.classes]
    assert [result.reference_n for result in row.classes] == [20, 20]


def test_decisions_at_the_thresholds_are_measured_beside_the_promised_rate():
    evaluator, row = evaluated()
    shares = []
    for result, scores in zip(row.classes, evaluator.scores.values(), strict=True):
        assert result.promised_rate == pytest.approx(0.1)
        called = scores.oracle > evaluator.model.threshold(scores.task).item()
        assert result.decisions["oracle"] == decision_metrics(scores.labels, called)
        limits = [evaluator.model.threshold(task).item() for task in scores.routed_tasks]
        assert result.decisions["routed"] == decision_metrics(scores.labels, scores.routed > limits)
        shares.append(called.mean())
    assert 0 < sum(shares) < len(shares), "some are called anomalous and some are not"


def test_region_thresholds_decide_in_results_and_predictions(tmp_path):
    evaluator, row = evaluated(replace(TINY, decision=RegionDecision(grid=2)))
    decision = evaluator.model.decision
    written = predictions(evaluator, tmp_path)
    for result, scores in zip(row.classes, evaluator.scores.values(), strict=True):
        called = (decision.scores(scores.oracle_patches) > decision.regions[scores.task].limits.flatten()).any(1)
        assert result.decisions["oracle"] == decision_metrics(scores.labels, called.numpy())
        mine = [int(line["anomalous"]) for line in written if line["class"] == result.class_name]
        assert result.decisions["routed"] == decision_metrics(scores.labels, np.array(mine))
    assert [result.oracle for result in row.classes] == [result.oracle for result in evaluated()[1].classes]


def test_without_a_threshold_no_decision_is_measured():
    _, row = evaluated(held_out=0)
    for result in row.classes:
        assert set(result.decisions["oracle"].values()) == {None}


def test_a_closed_set_has_no_share_of_unknown_images():
    _, row = evaluated()
    assert all(result.unknown == {"normal": None, "defect": None} for result in row.classes)


def test_unknown_images_are_counted_and_change_nothing_else():
    """Defective images lie far away here, good ones do not."""
    evaluator, row = evaluated(replace(TINY, open_set=Reject(0.1)), strangers=True)
    _, closed = evaluated(strangers=True)
    for result, scores in zip(row.classes, evaluator.scores.values(), strict=True):
        assert result.unknown == {"normal": scores.unknown[:10].mean(), "defect": 1.0}
        assert result.unknown["normal"] < 0.5
    strip = [replace(result, unknown={"normal": None, "defect": None}) for result in row.classes]
    assert strip == list(closed.classes)
    assert (row.pooled_raw, row.pooled_calibrated) == (closed.pooled_raw, closed.pooled_calibrated)


def test_the_hybrid_router_is_given_the_likelihood():
    evaluator, row = evaluated(replace(TINY, router=HybridRouter(top_k=2)))
    for scores, features in ((scores, Products(name).features) for name, scores in evaluator.scores.items()):
        nll = torch.stack([evaluator.model.mean_nll(features, task) for task in NAMES])
        assert scores.routed_tasks == [NAMES[index] for index in nll.argmin(0).tolist()]
    assert all(result.routing_accuracy is not None for result in row.classes)


def predictions(evaluator: Evaluator, folder: Path) -> list[dict[str, str]]:
    write_predictions(evaluator, folder / "predictions.csv")
    return list(csv.DictReader((folder / "predictions.csv").open()))


@pytest.mark.parametrize("calibration", [TINY.calibration, ZScore(), PValue()], ids=lambda c: type(c).__name__)
def test_predictions_are_on_the_runs_scale_with_the_right_decision(calibration, tmp_path):
    evaluator, _ = evaluated(replace(TINY, calibration=calibration, open_set=Reject(0.1)), strangers=True)
    rows = predictions(evaluator, tmp_path)
    raw = np.concatenate([scores.routed for scores in evaluator.scores.values()])
    beyond = [raw[i] > evaluator.model.threshold(row["routed_task"]).item() for i, row in enumerate(rows)]
    assert [row["anomalous"] for row in rows] == [str(int(value)) for value in beyond]
    assert {row["anomalous"] for row in rows} == {"0", "1"}
    for row, value in zip(rows, raw, strict=True):
        sign = 1 if evaluator.model.calibration.higher_is_anomalous else -1
        assert (sign * float(row["score"]) > sign * float(row["threshold"])) == (row["anomalous"] == "1")
        expected = evaluator.model.calibrated(torch.tensor([value]), [row["routed_task"]]).item()
        assert float(row["score"]) == pytest.approx(expected, rel=1e-8)
    assert [row["unknown"] for row in rows if row["label"] == "1"] == ["1"] * 12
    assert [row["unknown"] for row in rows].count("0") > 10


def test_without_a_threshold_predictions_decide_nothing(tmp_path):
    rows = predictions(evaluated(held_out=0)[0], tmp_path)
    assert {row["anomalous"] for row in rows} == {""}
    assert all(row["threshold"] == "" and math.isfinite(float(row["score"])) for row in rows)
