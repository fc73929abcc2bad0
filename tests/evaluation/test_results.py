"""The contract of results.json, on a stream of two tasks where the first has two classes."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results, write_csv
from moleflow.evaluation.thresholds import DECISION_METRICS
from moleflow.utils.errors import MoleflowError

TASKS = [("screw", "nut"), ("solar",), ("tile",)]


def result(name: str, task: int, value: float, *, masks: bool = True, routing: float | None = 1.0) -> ClassResult:
    """Oracle metrics equal `value`, routed ones are 0.1 lower; without masks only image metrics."""
    known = METRICS if masks else METRICS[:3]
    oracle = {metric: value if metric in known else None for metric in METRICS}
    routed = {metric: None if one is None else one - 0.1 for metric, one in oracle.items()}
    return ClassResult(name, task, oracle, routed, routing)


@pytest.fixture
def evaluations() -> list[Evaluation]:
    first = (result("screw", 0, 0.8), result("nut", 0, 0.6))
    second = (
        result("screw", 0, 0.75),
        result("nut", 0, 0.6, routing=0.5),
        result("solar", 1, 0.9, masks=False),
    )
    return [Evaluation(0, first, 0.7), Evaluation(1, second, 0.65, 0.72, "p-values")]


def test_keys_are_the_contract(evaluations: list[Evaluation]) -> None:
    results = build_results("demo", TASKS, evaluations)
    assert list(results) == [
        "schema", "name", "tasks", "run", "final", "continual", "continual_routed", "skipped", "per_class", "matrix",
        "matrix_routed",
    ]  # fmt: skip
    assert (results["schema"], results["name"]) == (1, "demo")
    assert results["tasks"] == [["screw", "nut"], ["solar"], ["tile"]]
    assert list(results["final"]) == ["routed", "oracle", "pooled_image_auroc", "routing_accuracy", "decisions"]
    for part in ("continual", "continual_routed"):
        assert list(results[part]) == ["fm", "bwt", "average_incremental"]
        assert all(tuple(values) == METRICS for values in results[part].values())
    assert tuple(results["matrix"]) == tuple(results["matrix_routed"]) == METRICS
    row = results["per_class"]["solar"]
    assert set(row) == {*METRICS, "task", "routing_accuracy", "reference_n", "unknown", "oracle", "decisions"}
    assert row["reference_n"] is None
    assert row["unknown"] == {"normal": None, "defect": None}
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_final_values_are_means_over_classes_of_the_last_evaluation(evaluations: list[Evaluation]) -> None:
    final = build_results("demo", TASKS, evaluations)["final"]
    assert final["oracle"]["image_auroc"] == pytest.approx((0.75 + 0.6 + 0.9) / 3)
    assert final["routed"]["image_auroc"] == pytest.approx((0.75 + 0.6 + 0.9) / 3 - 0.1)
    assert final["oracle"]["aupro"] == pytest.approx((0.75 + 0.6) / 2)  # solar has no masks
    assert final["pooled_image_auroc"] == {"raw": 0.65, "calibrated": 0.72, "unit": "p-values"}
    assert final["routing_accuracy"] == pytest.approx(2.5 / 3)


def test_matrix_cells_are_means_over_the_classes_of_a_task(evaluations: list[Evaluation]) -> None:
    results = build_results("demo", TASKS, evaluations)
    assert results["matrix"]["image_auroc"] == [
        [pytest.approx(0.7), None, None],
        [pytest.approx(0.675), 0.9, None],
    ]
    assert results["matrix"]["aupro"][1] == [pytest.approx(0.675), None, None]
    assert results["matrix_routed"]["image_auroc"][1] == [pytest.approx(0.575), pytest.approx(0.8), None]


def test_continual_measures_come_from_the_matrix(evaluations: list[Evaluation]) -> None:
    results = build_results("demo", TASKS, evaluations)
    assert results["continual"]["fm"]["image_auroc"] == pytest.approx(0.025)
    assert results["continual"]["bwt"]["pixel_ap"] == pytest.approx(-0.025)
    assert results["continual"]["average_incremental"]["image_auroc"] == pytest.approx((0.7 + 0.7875) / 2)
    assert results["continual_routed"]["average_incremental"]["image_auroc"] == pytest.approx(0.64375)


def test_per_class_rows_are_routed_with_the_oracle_beside(evaluations: list[Evaluation]) -> None:
    row = build_results("demo", TASKS, evaluations)["per_class"]["nut"]
    assert row["image_ap"] == pytest.approx(0.5)
    assert row["oracle"]["image_ap"] == 0.6
    assert (row["task"], row["routing_accuracy"]) == (0, 0.5)


def test_per_class_rows_say_what_calibration_rests_on_and_how_much_is_unknown() -> None:
    one = replace(result("screw", 0, 0.8), reference_n=21, unknown={"normal": 0.1, "defect": 0.4})
    row = build_results("demo", TASKS, [Evaluation(0, (one,), 0.7)])["per_class"]["screw"]
    assert row["reference_n"] == 21
    assert row["unknown"] == {"normal": 0.1, "defect": 0.4}


def test_decisions_stand_beside_what_was_promised_and_are_means_over_classes() -> None:
    one = dict.fromkeys(DECISION_METRICS, 0.5) | {"false_alarm_rate": 0.2}
    other = dict.fromkeys(DECISION_METRICS, 1.0) | {"precision": None, "false_alarm_rate": 0.0}
    classes = (
        replace(result("screw", 0, 0.8), promised_rate=0.05, decisions={"routed": one, "oracle": other}),
        replace(result("nut", 0, 0.8), promised_rate=0.05, decisions={"routed": other, "oracle": other}),
        result("solar", 0, 0.8),
    )
    results = build_results("demo", TASKS, [Evaluation.from_dict(Evaluation(0, classes, 0.7).to_dict())])
    assert results["per_class"]["screw"]["decisions"] == {"promised_rate": 0.05, "routed": one, "oracle": other}
    final = results["final"]["decisions"]
    assert final["promised_rate"] == pytest.approx(0.05)
    assert final["routed"] == {"accuracy": 0.75, "precision": 0.5, "recall": 0.75, "false_alarm_rate": 0.1}
    assert final["oracle"]["precision"] is None
    assert results["per_class"]["solar"]["decisions"] == {"promised_rate": None}


def test_order_and_repetition_of_evaluations(evaluations: list[Evaluation]) -> None:
    """A resumed run may have evaluated a task again: the later row counts, wherever it stands."""
    stale = Evaluation(1, (result("screw", 0, 0.1),), 0.1)
    expected = build_results("demo", TASKS, evaluations)
    assert build_results("demo", TASKS, [stale, *evaluations[::-1]]) == expected


def test_a_row_that_was_never_taken_is_none(evaluations: list[Evaluation]) -> None:
    results = build_results("demo", TASKS, evaluations[1:])
    assert results["matrix"]["image_auroc"][0] == [None, None, None]
    assert results["continual"]["fm"]["image_auroc"] is None
    assert results["continual"]["average_incremental"]["image_auroc"] == pytest.approx(0.7875)


def test_rows_survive_json(evaluations: list[Evaluation]) -> None:
    for evaluation in evaluations:
        assert Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict()))) == evaluation


@pytest.mark.parametrize("row", [{}, {"after_task": 0, "classes": [{"class_name": "a"}], "pooled_raw": None}])
def test_a_damaged_row_is_one_sentence(row: dict) -> None:
    with pytest.raises(MoleflowError, match="stored evaluation row cannot be read"):
        Evaluation.from_dict(row)


def test_nothing_evaluated_and_a_foreign_stream_are_refused(evaluations: list[Evaluation]) -> None:
    with pytest.raises(MoleflowError, match="no task has been evaluated"):
        build_results("demo", TASKS, [])
    with pytest.raises(MoleflowError, match="tasks 0 to 0, found one after task 1"):
        build_results("demo", TASKS[:1], evaluations)


def test_csv_has_a_row_a_class_and_the_mean(evaluations: list[Evaluation], tmp_path: Path) -> None:
    write_csv(build_results("demo", TASKS, evaluations), tmp_path / "results.csv")
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["screw", "nut", "solar", "mean"]
    assert rows[2]["pixel_ap"] == rows[2]["oracle_aupro"] == ""
    assert float(rows[1]["oracle_image_auroc"]) == 0.6
    assert float(rows[3]["image_auroc"]) == pytest.approx(0.65)
    assert float(rows[3]["routing_accuracy"]) == pytest.approx(2.5 / 3)
