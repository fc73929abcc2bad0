"""Reading runs: numbers, groups of seeds, broken folders, and the table for the terminal."""

import io
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest
from rich.console import Console

from moleflow.analysis.measured import collect
from moleflow.analysis.runs import group_of, read_run, read_runs, spread
from moleflow.analysis.summary import print_summary
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import write_json


def write_run(
    folder: Path, name: str, seed: int = 0, auroc: float = 0.9, tasks: int = 2, done: int = 2, **cost: Any
) -> Path:
    """A run's folder as the runner writes it: oracle metrics ``auroc``, routed ones 0.1 lower."""
    oracle = dict.fromkeys(METRICS, auroc)
    routed = dict.fromkeys(METRICS, auroc - 0.1)
    classes = [ClassResult(f"c{index}", index, oracle, routed, 0.95) for index in range(tasks)]
    evaluations = [Evaluation(index, tuple(classes[: index + 1]), 0.5) for index in range(done)]
    run = folder / name
    write_json(run / "results.json", build_results(name, [[f"c{index}"] for index in range(tasks)], evaluations))
    settings = {"task_classes": ["c0", "c1"], "backbone_name": "lite0", "img_size": 256, "num_steps": 7}
    write_json(run / "config.json", {"flags": {"seed": seed, **settings}})
    by_task = {"c0": 1000, "c1": 3000}
    write_json(run / "cost.json", {"params_per_task": by_task, "seconds_per_task": {"c0": 2.0, "c1": 5.0}, **cost})
    return run


def printed(folder: Path, width: int = 120) -> str:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=width))
    return out.getvalue()


def test_a_run_is_read_as_routed_means_over_classes_and_cost_over_tasks(tmp_path):
    row = read_run(write_run(tmp_path, "wo_dia-s3", seed=3))
    assert (row.name, row.group, row.seed, row.finished) == ("wo_dia-s3", "wo_dia", 3, True)
    expected = {"image_auroc": 0.8, "pixel_ap": 0.8, "routing_accuracy": 0.95, "fm": 0.0, "params_per_task": 2000.0,
                "seconds_per_task": 3.5}  # fmt: skip
    assert row.values == pytest.approx(expected)


@pytest.mark.parametrize(("name", "seed", "group"), [
    ("full-s0", 0, "full"), ("full-s12", 2, "full-s12"), ("mvtec-wrn-seed42", 42, "mvtec-wrn"), ("demo", 0, "demo"),
    ("scenario-1-1", 1, "scenario-1-1"), ("x-s0", None, "x-s0"),
])  # fmt: skip
def test_a_group_is_the_name_without_its_own_seed(name, seed, group):
    assert group_of(name, seed) == group


def test_spread_is_mean_and_sample_deviation_of_what_is_there():
    found = spread([0.1, None, 0.2, 0.6])
    assert (found.mean, found.std, found.n) == (pytest.approx(0.3), pytest.approx(stdev([0.1, 0.2, 0.6])), 3)
    assert (spread([2.0]).std, spread([None]), spread([])) == (None, None, None)


def test_seeds_of_a_name_get_mean_and_deviation(tmp_path):
    write_run(tmp_path, "full-s0", 0, 0.90)
    write_run(tmp_path, "full-s1", 1, 0.94)
    write_run(tmp_path, "wo_dia-s0", 0, 0.70)
    lines = printed(tmp_path).splitlines()
    group = next(line for line in lines if line.startswith("full "))
    assert "82.0 ± 2.8" in group
    assert "2 seeds" in group
    assert not any(line.startswith("wo_dia ") for line in lines), "one seed has no deviation"
    assert [line.split()[0] for line in lines if "-s" in line] == ["full-s0", "full-s1", "wo_dia-s0"]


def test_an_unfinished_run_is_marked_and_counts_in_no_mean(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path, f"full-s{seed}", seed)
    write_run(tmp_path, "full-s2", 2, auroc=0.2, tasks=3, done=1)
    text = printed(tmp_path)
    assert "full-s2 (1 of 3 tasks)" in text
    assert "80.0 ± 0.0" in text


@pytest.mark.parametrize("damage", [
    lambda run: (run / "results.json").unlink(),
    lambda run: (run / "results.json").write_text("{"),
    lambda run: (run / "results.json").write_text("[1]"),
    lambda run: (run / "results.json").write_text("null"),
    lambda run: write_json(run / "results.json", {"tasks": [["a"]], "matrix": {}}),
    lambda run: (run / "config.json").write_text('{"flags": {}}'),
    lambda run: (run / "cost.json").write_text("nonsense"),
    lambda run: write_json(run / "cost.json", {"params_per_task": 3}),
    lambda run: write_json(run / "cost.json", {"params_per_task": {"a": "many"}}),
], ids=range(9))  # fmt: skip
def test_a_broken_run_is_named_and_the_others_are_tabulated(tmp_path, damage):
    write_run(tmp_path, "good-s0")
    damage(write_run(tmp_path, "bad-s0"))
    (tmp_path / "console").mkdir()
    rows, trouble = read_runs(tmp_path)
    assert [row.name for row in rows] == ["good-s0"]
    assert len(trouble) == 1
    assert trouble[0].startswith("bad-s0: ")
    text = printed(tmp_path)
    assert "cannot be read: bad-s0" in text
    assert "good-s0" in text


def test_a_run_without_cost_or_masks_is_tabulated_with_dashes(tmp_path):
    run = write_run(tmp_path, "full-s0")
    (run / "cost.json").unlink()
    assert read_run(run).values["seconds_per_task"] is None
    assert "–" in printed(tmp_path)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_numbers_survive_narrow_terminals(tmp_path, width):
    write_run(tmp_path, "a-rather-long-name-of-a-run-that-would-push-numbers-out-s0")
    for seed in range(2):  # their mean ± std makes the other columns wide
        write_run(tmp_path, f"a-name-of-20-letters-s{seed}", seed=seed)
    text = printed(tmp_path, width)
    assert all(number in text for number in ("80.0", "95.0", "2k", "3.5"))
    assert "a-name-of-20-letters-s0" in text, "names are not cut into letters"


def test_a_folder_of_one_run_and_folders_without(tmp_path):
    run = write_run(tmp_path, "only")
    assert [row.name for row in read_runs(run)[0]] == ["only"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no run in .*config\.json"):
        read_runs(tmp_path / "empty")
    with pytest.raises(UsageError, match="expected a folder of runs"):
        read_runs(tmp_path / "absent")


def test_measured_rows_are_means_over_finished_seeds(tmp_path):
    for seed, auroc in enumerate((0.90, 0.94)):
        write_run(tmp_path, f"full-s{seed}", seed, auroc)
    write_run(tmp_path, "wo_dia-s0", 0, 0.5)
    write_run(tmp_path, "wo_dia-s1", 1, 0.1, tasks=3, done=1)
    write_run(tmp_path, "stray-s0", 0)
    measured, trouble = collect(tmp_path)
    assert list(measured["rows"]) == ["full", "wo_dia"]
    assert measured["rows"]["full"]["image_auroc"] == pytest.approx({"mean": 0.82, "std": 0.028284, "n": 2})
    assert measured["rows"]["wo_dia"]["image_auroc"] == {"mean": pytest.approx(0.4), "std": None, "n": 1}
    assert (measured["rows"]["full"]["seeds"], measured["rows"]["wo_dia"]["seeds"]) == ([0, 1], [0])
    assert measured["setting"]["num_steps"] == 7
    assert sorted(sentence.split(":")[0] for sentence in trouble) == ["stray-s0", "wo_dia-s1"]


def test_nothing_is_measured_without_the_full_method(tmp_path):
    write_run(tmp_path, "wo_dia-s0")
    with pytest.raises(MoleflowError, match="no finished run of the full method"):
        collect(tmp_path)
