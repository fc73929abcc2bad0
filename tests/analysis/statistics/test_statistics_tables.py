"""Statistics of run folders: each number against one computed by hand."""

from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from scored_runs import CLASSES, KINDS, kept, write_scored_run

from moleflow.analysis.statistics.comparison import Row, compare, comparison_table, verdict
from moleflow.analysis.statistics.continual import continual_table
from moleflow.analysis.statistics.defect_sizes import defect_sizes_table
from moleflow.analysis.statistics.defect_types import defect_types_table
from moleflow.analysis.statistics.finished import FinishedRun, read_finished
from moleflow.analysis.statistics.intervals import MEAN, intervals_table, run_intervals, shown
from moleflow.analysis.statistics.seeds import over_seeds, seeds_table
from moleflow.analysis.tables import Table
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.results import METRICS
from moleflow.evaluation.statistics.bootstrap import Interval
from moleflow.evaluation.statistics.paired import delong, mean_difference
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, write_json


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    for seed in (0, 1):
        write_scored_run(folder, f"weak-1-1-given-s{seed}", seed, gain=0.6)
    write_scored_run(folder, "strong-1-1-given-s0", 0, gain=2.5)
    return folder


@pytest.fixture(scope="module")
def runs(logs) -> dict[str, FinishedRun]:
    return {run.name: run for run in read_finished([logs])[0]}


def column(table: Table, name: str, **where: str) -> list:
    """The cells of a column in the rows that match."""
    index = {title: place for place, title in enumerate(table.columns)}
    rows = [row for row in table.rows if all(row[index[key]] == value for key, value in where.items())]
    return [row[index[name]] for row in rows]


def test_settings_are_mean_and_deviation_over_seeds(runs):
    table = seeds_table(list(runs.values()))
    assert column(table, "setting") == ["strong-1-1-given"] * 2 + ["weak-1-1-given"] * 2
    assert column(table, "seeds", setting="weak-1-1-given", route="routed") == [2]
    aps = [100 * runs[f"weak-1-1-given-s{seed}"].results["final"]["routed"]["pixel_ap"] for seed in (0, 1)]
    assert column(table, "pixel AP", setting="weak-1-1-given", route="routed") == [
        f"{mean(aps):.1f} ± {stdev(aps):.1f}"
    ]
    assert "±" not in column(table, "pixel AP", setting="strong-1-1-given", route="oracle")[0]
    assert column(table, "routing", setting="weak-1-1-given") == ["100.0 ± 0.0", None]
    assert (over_seeds([None, None]), over_seeds([0.5, None])) == (None, "50.0")


def test_continual_measures_stand_for_both_routes(runs):
    table = continual_table(list(runs.values()))
    assert column(table, "route", setting="strong-1-1-given") == ["routed", "oracle"]
    assert column(table, "FM image AUROC", setting="strong-1-1-given") == ["1.0", "0.0"]
    assert column(table, "pooled raw", setting="strong-1-1-given") == ["80.0", None]
    assert column(table, "pooled calibrated", setting="weak-1-1-given") == ["90.0 ± 0.0", None]
    block = runs["strong-1-1-given-s0"].results["continual_routed"]["average_incremental"]["pixel_ap"]
    assert column(table, "incremental mean pixel AP", setting="strong-1-1-given")[0] == f"{100 * block:.1f}"


def test_intervals_hold_the_values_and_shrink_in_the_mean(runs):
    run = runs["weak-1-1-given-s0"]
    found = run_intervals(run, 300, seed=0)
    assert list(found) == [*CLASSES, MEAN]
    for name in CLASSES:
        for metric in METRICS:
            value, (low, high) = run.results["per_class"][name][metric], found[name][metric]
            assert 0 <= low < high <= 1
            assert low - 0.02 <= value <= high + 0.02
    width = {name: np.subtract(*found[name]["image_auroc"][::-1]) for name in found}
    assert width[MEAN] < max(width[name] for name in CLASSES)
    assert run_intervals(run, 300, seed=0) == found
    assert run_intervals(run, 300, seed=1) != found
    table = intervals_table({"x": (run, found)}, 300)
    assert column(table, "class") == [*CLASSES, MEAN]
    value = run.results["final"]["routed"]["pixel_ap"]
    assert column(table, "pixel AP")[-1] == shown(value, found[MEAN]["pixel_ap"])


def test_an_interval_is_shown_in_percent_or_not_at_all():
    assert shown(0.925, Interval(0.9, 0.9549)) == "92.5 [90.0, 95.5]"
    assert shown(None, Interval(0.9, 0.95)) is shown(0.9, None) is None


def test_types_of_defects_are_measured_against_all_good_images(runs):
    table = defect_types_table([runs["weak-1-1-given-s0"]])
    assert column(table, "defect") == ["crack", "stain"] * 2
    assert column(table, "images") == [6, 4] * 2
    scores = kept("bolt", 0.6, 0)
    chosen = np.array(KINDS) != "crack"
    expected = {
        **image_metrics(scores.labels[chosen], scores.routed[chosen]),
        **pixel_metrics(scores.truths[chosen], scores.maps("routed")[chosen]),
    }
    for title, metric in (("image AUROC", "image_auroc"), ("image AP", "image_ap"), ("pixel AP", "pixel_ap")):
        found = float(column(table, title, **{"class": "bolt", "defect": "stain"})[0])
        assert found == pytest.approx(100 * expected[metric], abs=0.2)


def test_sizes_of_defects_come_from_masks(runs):
    table = defect_sizes_table([runs["weak-1-1-given-s0"], runs["weak-1-1-given-s1"]])
    assert column(table, "share of the image", **{"class": "nut"}) == ["small, ≤ 1 %", "large, > 5 %"]
    assert column(table, "images") == [6, 4] * 2
    types = defect_types_table([runs["weak-1-1-given-s0"], runs["weak-1-1-given-s1"]])
    assert column(table, "AUPRO") == column(types, "AUPRO"), "here each type has its size"
    assert all("±" in cell for cell in column(table, "image AUROC"))


def test_a_better_run_is_told_from_a_worse_one(runs):
    weak, strong = runs["weak-1-1-given-s0"], runs["strong-1-1-given-s0"]
    rows = {(row.class_name, row.metric): row for row in compare(weak, strong, 199, seed=0)}
    assert len(rows) == 3 * len(METRICS)
    auroc = rows[MEAN, "image_auroc"]
    each = [delong(kept(n, 0.6, 0).labels, kept(n, 0.6, 0).routed, kept(n, 2.5, 0).routed) for n in CLASSES]
    assert (auroc.p, auroc.method) == (pytest.approx(mean_difference(each).p), "DeLong")
    assert auroc.second - auroc.first == pytest.approx(mean_difference(each).value)
    ap = rows[MEAN, "pixel_ap"]
    assert ap.method == "exchange"
    assert ap.p == pytest.approx(1 / 200)
    assert 0 < ap.interval.low < ap.second - ap.first < ap.interval.high
    backwards = {(row.class_name, row.metric): row for row in compare(strong, weak, 199, seed=0)}
    assert backwards[MEAN, "pixel_ap"].p == ap.p
    assert backwards[MEAN, "pixel_ap"].interval == pytest.approx((-ap.interval.high, -ap.interval.low))


def test_a_run_does_not_differ_from_itself(runs):
    weak = runs["weak-1-1-given-s0"]
    rows = compare(weak, weak, 99, seed=0)
    assert {row.p for row in rows} == {1.0}
    assert {tuple(row.interval) for row in rows} == {(0.0, 0.0)}
    sentences = verdict(rows, "A", "B")
    assert len(sentences) == len(METRICS)
    assert sentences[0] == (
        "B against A, mean over classes: +0.00 points of image AUROC, 95 % [+0.00, +0.00], p = 1.000 (DeLong): "
        "no difference at the level of 0.05."
    )


def test_no_p_value_is_printed_as_zero():
    row = Row(MEAN, "image_auroc", 0.5, 0.9, None, 0.0002, "DeLong")
    assert comparison_table("A", "B", [row], 9).rows[0][-2] == "< 0.001"
    assert ", p < 0.001 (DeLong)" in verdict([row], "A", "B")[0]


def test_runs_on_other_images_are_refused(runs, tmp_path):
    other = write_scored_run(tmp_path, "other-s0")
    file = other / "scores" / "nut.npz"
    content = dict(np.load(file))
    content["names"] = content["names"][::-1]
    np.savez_compressed(file, **content)
    foreign = read_finished([other])[0][0]
    with pytest.raises(UsageError, match="same images of nut, found 20 and 20 that differ"):
        compare(runs["weak-1-1-given-s0"], foreign, 9, seed=0)
    results = read_json(other / "results.json")
    del results["per_class"]["bolt"]
    write_json(other / "results.json", results)
    with pytest.raises(UsageError, match="same classes, found bolt in only one"):
        compare(runs["weak-1-1-given-s0"], read_finished([other])[0][0], 9, seed=0)


def test_an_older_run_is_told_by_its_configuration(tmp_path):
    run = read_finished([write_scored_run(tmp_path, "old-s3", seed=3, record={})])[0][0]
    assert (run.record["scenario"], run.record["order"], run.record["seed"]) == ("1-1", "given", 3)
    assert run.record["classes"] == list(CLASSES)
    (run.folder / "scores" / "bolt.npz").unlink()
    assert not run.has_scores
    with pytest.raises(MoleflowError, match=r"expected kept scores of bolt .* moleflow evaluate --run"):
        run.tested  # noqa: B018


def test_what_is_no_result_is_left_out_and_said(tmp_path):
    write_scored_run(tmp_path, "good-s0")
    stale = write_scored_run(tmp_path, "stale-s0")
    write_json(stale / "results.json", {**read_json(stale / "results.json"), "stale": "remove-task nut"})
    half = write_scored_run(tmp_path, "half-s0")
    results = read_json(half / "results.json")
    write_json(half / "results.json", {**results, "tasks": [*results["tasks"], ["later"]]})
    runs, trouble = read_finished([tmp_path])
    assert [run.name for run in runs] == ["good-s0"]
    assert sorted(trouble) == ["half-s0: 2 of 3 tasks", "stale-s0: its results are of before: remove-task nut"]
    with pytest.raises(UsageError, match=r"expected finished runs in .*half-s0, found none: half-s0: 2 of 3 tasks"):
        read_finished([half])


def test_namesakes_are_refused(tmp_path):
    for place in ("one", "two"):
        write_scored_run(tmp_path / place, "x-s0")
    with pytest.raises(UsageError, match="different names, found 'x-s0' in"):
        read_finished([tmp_path / "one", tmp_path / "two"])
    assert len(read_finished([tmp_path / "one", tmp_path / "one" / "x-s0"])[0]) == 1, "named twice is one run"
