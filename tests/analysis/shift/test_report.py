"""The figures and tables of a domain-shift study with known numbers."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from analysis.shift.synthetic import CLASSES, GAP, METHODS, scored, write_study

from moleflow.analysis.shift import report
from moleflow.analysis.shift.calibration import calibration, expected_error
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.analysis.shift.degradation import change, degradation, recovery
from moleflow.analysis.shift.embeddings import shifts
from moleflow.analysis.shift.errors import called, counts
from moleflow.analysis.shift.galleries import picked, ranking
from moleflow.analysis.shift.levels import metrics, thresholds
from moleflow.analysis.shift.places import Defects, by_size, defects_of, measured
from moleflow.analysis.shift.report import PARTS, write_all
from moleflow.analysis.shift.resample import auroc_draws
from moleflow.analysis.shift.sides import KINDS, finding, section
from moleflow.evaluation.metrics import image_metrics
from moleflow.utils.errors import MoleflowError, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_study(tmp_path_factory.mktemp("shift") / "study")


@pytest.fixture(scope="module")
def written(folder) -> Path:
    """The whole report."""
    out = folder.with_name("report")
    assert write_all(folder, out) == []
    return out


@pytest.fixture
def few(monkeypatch):
    """Reports of some quick parts."""
    names = ("metrics", "degradation", "thresholds", "confusion", "embeddings", "coreset")
    monkeypatch.setattr(report, "PARTS", {name: PARTS[name] for name in names})


@pytest.fixture
def study(folder) -> Study:
    return Study(folder)


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.open()))


def test_every_part_is_written_and_small(written):
    assert {place.name for place in written.iterdir() if place.is_dir()} == set(PARTS)
    pictures = list(written.rglob("*.png"))
    assert len(pictures) >= 14
    assert max(file.stat().st_size for file in pictures) < 200_000
    page = (written / "summary.md").read_text()
    assert page.startswith("# Domain shift: bolt, nut\n\n    python scripts/run_domain_shift.py …")
    assert "Cells done: 36." in page


def test_what_was_not_measured_is_named(folder, tmp_path, few):
    part = shutil.copytree(folder, tmp_path / "study")
    shutil.rmtree(part / "side" / "coreset")
    shutil.rmtree(part / "side" / "embeddings")
    assert write_all(part) == [
        "embeddings: left out, no patch features were kept",
        "coreset: left out, side study coreset was not made",
    ]
    assert (part / "report" / "summary.md").read_text().count("left out,") == 2


def test_a_study_that_has_just_begun_gives_what_there_is(folder, tmp_path, few):
    part = shutil.copytree(folder, tmp_path / "study", ignore=shutil.ignore_patterns("mild", "severe", "side"))
    missing = write_all(part)
    assert not any(sentence.startswith(("metrics", "thresholds")) for sentence in missing)
    assert "degradation: left out, no method has both clean and shifted results" in missing


def test_no_study_is_misuse(tmp_path):
    with pytest.raises(UsageError, match="holds no domain-shift study"):
        write_all(tmp_path)


def test_damaged_scores_are_named(folder, tmp_path, few):
    part = shutil.copytree(folder, tmp_path / "study")
    (part / "patchcore" / "mild" / "none" / "bolt" / "test.npz").write_bytes(b"nothing")
    with pytest.raises(MoleflowError, match=r"mild/none/bolt/test\.npz holds no scores"):
        write_all(part)


def test_macro_means_are_over_classes_and_need_all_of_them(study):
    values = [study.cell("patchcore", "mild", "none", name).metric("image_auroc") for name in CLASSES]
    assert study.macro("patchcore", "mild", "none", "image_auroc") == pytest.approx(np.mean(values))
    assert study.macro("patchcore", "mild", "full", "pixel_ap") == pytest.approx(100 * (0.4 + 0.02 * GAP["full"]))
    del study.cells["patchcore", "mild", "none", "nut"]
    assert study.macro("patchcore", "mild", "none", "image_auroc") is None


def test_tables_of_levels(study, tmp_path):
    metrics(study).write(tmp_path)
    rows = rows_of(tmp_path / "per_class.csv")
    assert len(rows) == 36
    mine = [row for row in rows if (row["method"], row["severity"], row["class"]) == ("moleflow", "clean", "nut")]
    assert len(mine) == 1
    assert mine[0]["pixel AP, %"] == ""
    found = thresholds(study)
    assert "Without anomalies in validation, so that the largest normal score is taken: nut." in found.finding


def test_a_shift_costs_the_difference_and_its_interval_excludes_zero(study):
    lost = change(study, "patchcore", "mild", "clean", "none", "bolt")
    values = [study.cell("patchcore", "mild", phase, "bolt").metric("image_auroc") for phase in ("clean", "none")]
    assert lost.value == pytest.approx(values[1] - values[0])
    assert lost.low < lost.value < lost.high < 0
    same = change(study, "patchcore", "mild", "clean", "full", "bolt")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert same.says_nothing


def test_refitting_recovers_all_and_a_threshold_nothing_of_auroc(study, tmp_path):
    recovery(study).write(tmp_path)
    rows = rows_of(tmp_path / "recovery.csv")
    shares = {row["phase"]: row["of image AUROC lost, %"] for row in rows if row["class"] == "bolt"}
    assert float(shares["refitted"]) == pytest.approx(100)
    assert float(shares["threshold only"]) == pytest.approx(0)
    assert 0 < float(shares["one model for all"]) < 100


def test_nothing_lost_has_no_share(study):
    for cell in study.cells.values():
        cell.result["metrics"]["image_auroc"] = 0.9
    found = degradation(study)
    assert "0 of 2 intervals" not in found.finding[0]
    assert all(row[5] is None for row in recovery(study).tables["recovery"].rows)


def test_auroc_draws_hold_the_slow_auroc(study):
    cell = study.cell("patchcore", "mild", "none", "bolt").test
    draws = auroc_draws(cell)
    assert draws.mean() == pytest.approx(image_metrics(cell.labels, cell.images)["image_auroc"], abs=0.02)
    assert 0.02 < draws.std() < 0.2
    np.testing.assert_array_equal(draws, auroc_draws(cell))


def test_confusion_counts_and_types(study):
    matrix = counts(study, "patchcore", "mild", "clean")
    assert matrix.sum() == 48
    assert matrix[1].tolist() == [0, 24]
    shares = called(study, "patchcore", "mild", "none", "bolt")
    assert {defect: n for defect, (_, n) in shares.items()} == {"dent": 6, "good": 12, "scratch": 6}
    test, threshold = study.cell("patchcore", "mild", "none", "bolt").test, GAP["clean"] / 2
    assert shares["dent"][0] == pytest.approx(100 * (test.images[12:18] > threshold).mean())


def test_galleries_rank_by_the_margin_to_the_threshold(study):
    ranked = ranking(study, "patchcore", "mild", "bolt")
    worst, best = picked(ranked, worst=True), picked(ranked, worst=False)
    assert worst[0].margin == min(shown.margin for shown in ranked) < 0
    assert best[0].margin == max(shown.margin for shown in ranked) > 0
    assert worst[0].title.startswith("bolt/")


def test_sizes_and_borders_of_masks():
    mask = np.zeros((40, 40))
    mask[10:20, 10:20] = 1
    assert measured(mask > 0) == (pytest.approx(1 / 16), False)
    mask[0, 10] = 1
    assert measured(mask > 0)[1]
    thirds = by_size(Defects(np.arange(9.0), np.zeros(9, bool), np.zeros(9, bool)))
    assert [mine.sum() for mine in thirds.values()] == [3, 3, 3]
    assert thirds["small"][:3].all()


def test_recall_counts_what_lies_above_the_threshold(study):
    found = defects_of(study, "patchcore", "mild", "clean")
    assert found.found.all()
    assert len(found.found) == 24
    assert not defects_of(study, "patchcore", "mild", "none").found.all()


def test_expected_calibration_error_of_known_probabilities():
    assert expected_error(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])) == 0
    assert expected_error(np.full(4, 0.9), np.array([0, 0, 1, 1])) == pytest.approx(0.4)


def test_calibration_without_both_kinds_is_left_out(study):
    for place, cell in list(study.cells.items()):
        one = scored("clean", place[3], (Path("a"), Path("b")))
        keep = one.labels == 0
        kept = tuple(sample for sample, good in zip(one.samples, keep, strict=True) if good)
        folder = cell.folder.parents[4] / "good_only" / "/".join(place)
        type(one)(kept, one.images[keep], one.maps[keep]).save(folder / "val.npz")
        study.cells[place] = type(cell)(folder, cell.result)
    with pytest.raises(LeftOut, match="no validation set"):
        calibration(study)


def test_a_shift_is_measured_against_the_distance_of_products():
    names, severities = np.repeat(["a", "b"], 4), np.tile(["clean", "clean", "mild", "mild"], 2)
    features = np.where(names == "b", 10.0, 0.0)[:, None] + np.where(severities == "mild", 5.0, 0.0)[:, None]
    assert shifts(features, names, severities, np.zeros(8, bool)) == {"mild": pytest.approx(0.5)}


@pytest.mark.parametrize(("name", "sentence"), [
    ("layers", "layer2 90.0, layer3 95.0."), ("aggregation", "All within one point: no effect shown."),
    ("latency", "ms per image (ms/image), mean over classes: backbone 30.0."),
])  # fmt: skip
def test_side_studies_state_their_means(study, name, sentence):
    assert section(study, name).finding[0].endswith(sentence)


def test_a_side_study_that_measured_nothing_says_so():
    assert finding(KINDS["layers"], [{"layers": "layer2", "image_auroc": None}]) == "Nothing could be measured."


def test_the_global_confusion_is_stated(written):
    found = json.loads((written / "global_confusion" / "analysis_results.json").read_text())
    assert found["matrix"] == [[0.9, 0.1], [0.2, 0.8]]
    assert "85.0 % of normal test patches" in (written / "summary.md").read_text()


def test_methods_are_all_in_the_tables(study):
    assert {row[0] for row in degradation(study).tables["degradation"].rows} == set(METHODS)
