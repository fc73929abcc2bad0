"""What results.json says of how a run was made."""

import json

from moleflow.config.cli import parse
from moleflow.config.task import Task
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results
from moleflow.evaluation.run_record import run_record

LINE = [
    *("--preset", "measured", "--ablation", "wo_dia", "--task_order", "random:3"),
    *("--cl_scenario", "2-1", "--seed", "7"),
]
STREAM = [Task(("b", "c"), 0), Task(("a",), 1)]


def test_a_fresh_reader_can_tell_what_was_run():
    record = run_record(parse(LINE)[0], STREAM)
    assert record["classes"] == ["b", "c", "a"]
    expected = {"dataset": "folder", "scenario": "2-1", "order": "random:3", "seed": 7, "img_size": 256,
                "backbone": "tf_efficientnet_lite0", "preset": "measured", "ablation": "wo_dia"}  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert record["versions"]["torch"]
    assert json.loads(json.dumps(record)) == record


def test_the_record_is_a_block_of_results_and_empty_where_nobody_knows():
    result = ClassResult("a", 0, dict.fromkeys(METRICS, 0.9), dict.fromkeys(METRICS, 0.8), 1.0)
    rows = [Evaluation(0, (result,), 0.5)]
    assert build_results("x", [["a"]], rows)["run"] == {}
    assert build_results("x", [["a"]], rows, {"seed": 7})["run"] == {"seed": 7}
