"""The terminal table: all numbers at every width, names as they are, nothing but text in a file."""

import io

import pytest
from rich.console import Console

from moleflow.evaluation.report.table import print_results
from moleflow.evaluation.report.text import percent
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results
from moleflow.evaluation.thresholds import DECISION_METRICS

NAMES = ["screw", "[red]nut[/red]", "a_very_long_class_name_" * 5, "磁砖" * 20]


def results(tasks: int = 4, done: int = 4) -> dict:
    """Class i has 0.81 + i/100 in all metrics, routed, and 0.05 more when the task is known; the third has no masks."""

    def result(task: int) -> ClassResult:
        known = METRICS[:3] if task == 2 else METRICS
        routed = {metric: 0.81 + task / 100 if metric in known else None for metric in METRICS}
        oracle = {metric: None if value is None else value + 0.05 for metric, value in routed.items()}
        decisions = {route: dict.fromkeys(DECISION_METRICS, 0.5 + task / 10) for route in ("routed", "oracle")}
        rate = None if task == 3 else 0.05
        return ClassResult(NAMES[task], task, oracle, routed, 0.987 - task / 100, 5 + task, {}, rate, decisions)

    rows = [Evaluation(after, tuple(result(task) for task in range(after + 1)), 0.654) for after in range(done)]
    return build_results("demo", [[name] for name in NAMES[:tasks]], rows)


def printed(width: int, content: dict) -> list[str]:
    file = io.StringIO()
    print_results(content, Console(file=file, width=width))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_every_number_is_there_at_every_width(width: int) -> None:
    lines = printed(width, results())
    (screw,) = [line for line in lines if line.startswith("screw")]
    assert screw.split() == ["screw", "0", *["81.0"] * 7, "98.7"]
    (long,) = [line for line in lines if line.startswith("a_ve")]
    assert long.split()[1:] == ["2", *["83.0"] * 3, *["–"] * 4, "96.7"]
    (mean,) = [line for line in lines if line.startswith("mean")]
    assert mean.split() == ["mean", *["82.5"] * 3, *["82.3"] * 4, "97.2"]
    assert all(len(line) <= max(width, 80) for line in lines)


def test_names_are_not_markup_and_a_file_has_no_colour_codes() -> None:
    text = "\n".join(printed(100, results()))
    assert "[red]nut[/red]" in text
    assert "\x1b" not in text


def test_forgetting_routing_and_pooled_values_follow() -> None:
    text = "\n".join(printed(100, results()))
    assert "FM 0.0 / 0.0, BWT 0.0 / 0.0" in text
    assert "routing accuracy: 97.2, pooled image AUROC: 65.4 raw, – calibrated\n" in text
    assert "after 4 tasks" in text


def test_decisions_stand_beside_the_promise_and_what_they_rest_on() -> None:
    *_, decisions, counts = printed(100, results())
    assert decisions == "decisions: recall 65.0, precision 65.0, false alarms 65.0 (promised 5.0)"
    assert counts == "thresholds rest on 5 to 8 normal images a task, each scored as a new one"
    older = results()
    del older["final"]["decisions"]
    assert not any("decisions" in line for line in printed(100, older))


def test_one_task_of_a_longer_stream() -> None:
    text = "\n".join(printed(100, results(done=1)))
    assert "after 1 of 4 tasks" in text
    assert "FM – / –, BWT – / –" in text


def test_percent() -> None:
    values = [None, 0.0, 1.0, 0.98765, -0.0001, -0.012]
    assert [percent(value) for value in values] == ["–", "0.0", "100.0", "98.8", "0.0", "-1.2"]
