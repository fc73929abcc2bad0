"""Kendall's τ over settings: against cases counted by hand, and from folders of runs."""

import json
from pathlib import Path

import pytest

from moleflow.analysis.rank_agreement import BY, Pair, agreement, rank_agreement
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results
from moleflow.utils.errors import UsageError
from moleflow.utils.io import write_json


def pairs(*scores: tuple[float, float]) -> dict[str, Pair]:
    return {f"s{index}": Pair(*score) for index, score in enumerate(scores)}


def run(folder: Path, name: str, **aurocs: float | None) -> None:
    """A finished run of some classes; pixel AP is half of image AUROC."""
    rows = [
        {**dict.fromkeys(METRICS), "image_auroc": value, "pixel_ap": value and value / 2} for value in aurocs.values()
    ]
    classes = [ClassResult(c, 0, row, row, 1.0) for c, row in zip(aurocs, rows, strict=True)]
    write_json(
        folder / name / "results.json", build_results(name, [list(aurocs)], [Evaluation(0, tuple(classes), None)])
    )
    write_json(folder / name / "config.json", {"flags": {"seed": 0}})


def test_tau_counted_by_hand():
    # pairs in order 5: (0,1) (0,2) (0,3) (1,3) (2,3); opposite 1: (1,2); τ = (5 - 1) / 6
    found = agreement(pairs((0.1, 0.1), (0.2, 0.3), (0.3, 0.2), (0.4, 0.4)))
    assert found.tau == pytest.approx(4 / 6)
    # 24 orders of four; 1 + 3 of them have at most one inversion, as many at least five
    assert found.p == pytest.approx(8 / 24)


def test_tau_b_counts_ties_by_hand():
    # in order 2: (0,2) (1,2); tied inside 1: (0,1); τ = (2 - 0) / √(2 · 3)
    assert agreement(pairs((0.1, 0.1), (0.1, 0.2), (0.3, 0.3))).tau == pytest.approx(2 / (2 * 3) ** 0.5)


def test_where_one_side_is_level_there_is_no_ranking():
    found = agreement(pairs((0.5, 0.1), (0.5, 0.2), (0.5, 0.3)))
    assert (found.tau, found.p) == (None, None)


def test_regret_is_what_choosing_inside_costs():
    found = agreement(pairs((0.1, 0.9), (0.3, 0.7), (0.2, 0.8)))
    assert (found.chosen, found.tau) == ("s1", pytest.approx(-1))
    assert found.regret == pytest.approx(0.2)


def test_runs_are_paired_by_name_over_common_classes(tmp_path):
    for index, name in enumerate(("a", "b", "c", "d")):
        run(tmp_path / "in", name, w=0.1, x=0.5 + index / 10, y=0.6)
        run(tmp_path / "test", name, x=0.5 + index / 20, y=0.9 - index / 10, z=0.1)
    run(tmp_path / "in", "inside", w=1.0, x=1.0, y=1.0)
    run(tmp_path / "test", "outside", x=1.0, y=1.0, z=1.0)
    found = rank_agreement(tmp_path / "in", tmp_path / "test", "python it")
    assert found.numbers["classes"] == ["x", "y"]
    by_class = found.numbers["agreement"]["image_auroc"]
    assert by_class["x"]["tau"] == pytest.approx(1)
    assert by_class["y"]["tau"] is None
    assert by_class["mean"]["tau"] == pytest.approx(-1), "y falls faster on the test set than x rises"
    assert by_class["mean"]["settings"]["b"] == {"inner": pytest.approx(0.6), "test": pytest.approx(0.675)}
    assert by_class["mean"]["chosen"] == "d"
    assert [f"Left out: {name} has no partner of its name." for name in ("inside", "outside")] == found.finding[2:]
    found.write(tmp_path / "out")
    page = (tmp_path / "out/summary.md").read_text()
    assert "image AUROC, mean over classes: τ = -1.00 (p 0.083, 4 settings)" in page
    assert "choosing inside gives d, 7.5 points below the best" in page
    assert (tmp_path / "out/rank_agreement.png").stat().st_size > 1000
    assert json.loads((tmp_path / "out/analysis_results.json").read_text())["agreement"]["pixel_ap"]["x"]["tau"] == 1


def test_images_may_be_ranked_by_their_average_precision_inside(tmp_path):
    for index, name in enumerate(("a", "b", "c")):
        for side in ("in", "test"):
            run(tmp_path / side, name, x=0.5 + index / 10)
        results = json.loads((tmp_path / "in" / name / "results.json").read_text())
        results["per_class"]["x"]["image_ap"] = 0.9 - index / 10
        write_json(tmp_path / "in" / name / "results.json", results)
    taus = {
        by: rank_agreement(tmp_path / "in", tmp_path / "test", by=by).numbers["agreement"]["image_auroc"]["mean"]["tau"]
        for by in BY
    }
    assert taus == {"image_auroc": pytest.approx(1), "image_ap": pytest.approx(-1)}
    page = rank_agreement(tmp_path / "in", tmp_path / "test", by="image_ap").markdown()
    assert "image AUROC, ranked inside by image AP, mean over classes" in page
    assert "| image AP inside | image AUROC test |" in page


def test_average_precision_is_compared_with_itself_too(tmp_path):
    for index, name in enumerate(("a", "b", "c")):
        for side, sign in (("in", 1), ("test", -1)):
            run(tmp_path / side, name, x=0.5 + index / 10)
            results = json.loads((tmp_path / side / name / "results.json").read_text())
            results["per_class"]["x"]["image_ap"] = 0.5 + sign * index / 10
            write_json(tmp_path / side / name / "results.json", results)
    for by in BY:
        found = rank_agreement(tmp_path / "in", tmp_path / "test", by=by)
        mean = found.numbers["agreement"]["image_ap"]["mean"]
        assert mean["tau"] == pytest.approx(-1)
        assert mean["settings"]["c"] == {"inner": pytest.approx(0.7), "test": pytest.approx(0.3)}
        assert "image AP, mean over classes: τ = -1.00" in found.finding[1]
        assert "| image AP inside | image AP test |" in found.markdown()


def test_classes_without_a_metric_do_not_count_for_it(tmp_path):
    for index, name in enumerate(("a", "b", "c")):
        for side in ("in", "test"):
            run(tmp_path / side, name, x=0.5 + index / 10, y=None)
    found = rank_agreement(tmp_path / "in", tmp_path / "test").numbers["agreement"]["image_auroc"]
    assert set(found) == {"mean", "x"}
    assert found["mean"]["tau"] == pytest.approx(1)


def test_too_few_names_or_no_common_class_is_an_error(tmp_path):
    for name in ("a", "b", "c"):
        run(tmp_path / "in", name, x=0.5)
        run(tmp_path / "test", name, y=0.5)
        run(tmp_path / "others", f"{name}2", x=0.5)
    with pytest.raises(UsageError, match="3 or more experiment names that are in both folders, found 0"):
        rank_agreement(tmp_path / "in", tmp_path / "others")
    with pytest.raises(UsageError, match="expected a class that all runs have tested"):
        rank_agreement(tmp_path / "in", tmp_path / "test")
    with pytest.raises(UsageError, match="found none at"):
        rank_agreement(tmp_path / "nowhere", tmp_path / "test")
