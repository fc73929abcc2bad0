"""The analysis of accuracy on a folder of made-up runs."""

import shutil
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "analysis" / "statistics"), str(Path(__file__).parent), str(ROOT / "scripts")]

import analyze_accuracy  # noqa: E402
from accuracy_runs import LITE, write_folder, write_peer, write_run  # noqa: E402
from layouts import image  # noqa: E402
from scored_runs import CLASSES, KINDS, kept  # noqa: E402

from moleflow.analysis.accuracy.failures import failures, worst  # noqa: E402
from moleflow.analysis.accuracy.folder import read_folder  # noqa: E402
from moleflow.analysis.accuracy.page import accuracy_analysis  # noqa: E402
from moleflow.analysis.accuracy.tables import difference, few_shot_table  # noqa: E402
from moleflow.analysis.accuracy.values import MEAN, Resampled, averaged, class_values  # noqa: E402
from moleflow.analysis.statistics.report import Resampling  # noqa: E402
from moleflow.analysis.tables import Table  # noqa: E402
from moleflow.evaluation.metrics import image_metrics  # noqa: E402
from moleflow.evaluation.statistics.bootstrap import draw  # noqa: E402
from moleflow.utils.errors import UsageError  # noqa: E402
from moleflow.utils.io import read_json  # noqa: E402
from moleflow.utils.seed import derive_seed  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("accuracy"))


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, Table]:
    return dict(accuracy_analysis(folder, lambda *_: {}, Resampling(50)).tables)


def row(table: Table, *start: object) -> dict[str, object]:
    """The row that begins with these cells, by column."""
    found = [one for one in table.rows if one[: len(start)] == start]
    assert len(found) == 1
    return dict(zip(table.columns, found[0], strict=True))


def test_a_folder_is_read_by_place(folder):
    (one,), trouble = read_folder(folder)
    assert trouble == []
    assert one.name == LITE
    assert [run.name for run in one.preset] == ["given-s0", "given-s1", "reversed-s0"]
    assert list(one.peers) == ["padim", "patchcore_10"]
    assert list(one.undone) == ["no_ramp"]
    assert {images: {name: len(runs) for name, runs in methods.items()} for images, methods in one.few.items()} == {
        images: {"preset": 2, "patchcore_10": 2} for images in (5, 10)
    }


def test_classes_are_mean_and_deviation_over_seeds_and_orders(folder, tables):
    runs = [folder / LITE / "preset" / name for name in ("given-s0", "given-s1", "reversed-s0")]
    values = [100 * read_json(run / "results.json")["per_class"]["nut"]["image_auroc"] for run in runs]
    nut = row(tables["classes"], LITE, "nut")
    assert nut["image AUROC"] == f"{mean(values):.1f} ± {stdev(values):.1f}"
    assert (nut["MB/expert"], nut["s/task"], nut["FM"]) == ("2.0 ± 0.0", "10.3 ± 0.6", "0.0 ± 0.0")
    assert row(tables["classes"], LITE, "bolt")["FM"] is None, "no task comes after it"
    assert row(tables["classes"], LITE, MEAN)["MB/expert"] == "3.0 ± 0.0"
    assert [one[1] for one in tables["runs"].rows] == ["given-s0", "given-s1", "reversed-s0"]


def test_differences_are_of_exact_values_and_errors_of_joint_resamplings(folder, tables):
    (one,), _ = read_folder(folder)
    peer = one.peers["padim"]
    found = row(tables["differences"], LITE, "PaDiM", "nut")
    gap = averaged(one.preset, "nut", "pixel_ap") - class_values(peer)["nut"]["pixel_ap"]
    assert found["pixel AP difference"] == pytest.approx(100 * gap)
    labels = kept("nut", 1.0, 0).labels
    weights = draw(labels, 50, derive_seed(0, "accuracy", "nut")).astype(int)

    def auroc(gain: float, seed: int, taken: np.ndarray) -> float:
        rows = np.repeat(np.arange(len(labels)), taken)
        scores = kept("nut", gain, seed).routed[rows]
        return float(image_metrics(labels[rows], scores)["image_auroc"])

    slow = [np.mean([auroc(1.0, seed, w) for seed in (0, 1, 0)]) - auroc(0.3, 0, w) for w in weights]
    assert found["image AUROC SE"] == pytest.approx(100 * np.std(slow, ddof=1))


def test_a_choice_adds_what_the_first_run_has_ahead_of_the_run_without_it(folder, tables):
    (one,), _ = read_folder(folder)
    without = [one.undone["no_ramp"]]
    found = row(tables["undone"], LITE, "no_ramp")
    gap = difference(one.preset[:1], without, MEAN, "image_auroc")
    error = Resampled(50, 0).difference_error(one.preset[:1], without, MEAN, "image_auroc")
    assert found["image AUROC effect"] == pytest.approx(100 * gap)
    assert gap > 0 < error
    assert found["image AUROC to"] - found["image AUROC 95 % from"] == pytest.approx(100 * 2 * 1.96 * error)
    assert found["image AUROC without"] == pytest.approx(100 * averaged(without, MEAN, "image_auroc"))


def test_the_error_of_a_run_against_itself_is_nothing(folder):
    (one,), _ = read_folder(folder)
    resampled = Resampled(20, 0)
    assert resampled.difference_error(one.preset, one.preset, MEAN, "pixel_ap") == 0
    assert resampled.error(one.preset, MEAN, "pixel_ap") > 0


def test_few_images_are_compared_with_a_peer_of_as_many(folder, tables):
    weak = row(tables["few_shot"], LITE, 5, "PatchCore 10 %")
    strong = row(tables["few_shot"], LITE, 10, "PatchCore 10 %")
    assert weak["image AUROC, MoLE-Flow ahead by"] > 0 > strong["image AUROC, MoLE-Flow ahead by"]
    assert row(tables["few_shot"], LITE, 5, "MoLE-Flow")["image AUROC, MoLE-Flow ahead by"] is None
    finding = accuracy_analysis(folder, lambda *_: {}, Resampling(50)).finding
    ends = [line.rsplit(", ", 1)[1] for line in finding if "training images" in line]
    assert ends == ["within one standard error or above.", "below by more than that."]


def test_few_images_are_compared_over_the_seeds_that_both_have(tmp_path):
    (one,), _ = read_folder(write_folder(tmp_path))
    first_seeds = one.few[5]["preset"][:1], one.few[5]["patchcore_10"][:1]
    gap = difference(*first_seeds, MEAN, "image_auroc")
    shutil.rmtree(tmp_path / LITE / "fewshot" / "n5-s1" / "patchcore_10")
    found = row(few_shot_table(read_folder(tmp_path)[0], Resampled(20, 0)), LITE, 5, "PatchCore 10 %")
    assert found["image AUROC, MoLE-Flow ahead by"] == pytest.approx(100 * gap)


def test_peers_stand_beside_the_preset_and_defects_over_all_runs(tables):
    methods = [(one[1], one[2]) for one in tables["peers"].rows]
    assert methods == [("PatchCore 10 %", 1), ("PaDiM", 1), ("MoLE-Flow", 3)]
    mine = row(tables["peers"], LITE, "MoLE-Flow")
    assert [mine[column] for column in ("pooled raw", "pooled calibrated", "MB/expert")] == pytest.approx([80, 90, 3])
    assert " ± " in row(tables["defects"], LITE, "nut", "crack")["image AUROC"]


def test_the_worst_are_those_farthest_on_the_wrong_side_by_rank():
    scores = kept("nut", 1.0, 0)
    scores.routed[:] = np.arange(20.0)  # good images 0..9, cracks 10..15, stains 16..19
    scores.routed[10], scores.routed[11], scores.routed[3], scores.routed[4] = -1, 4.5, 99, 17.5
    chosen = worst(failures("nut", scores), each=2)
    assert [(one.row, one.label) for one in chosen] == [(10, 1), (11, 1), (3, 0), (4, 0)]
    assert [one.rank for one in chosen] == [1.0, 0.7, 1.0, 0.8]
    assert (chosen[0].spreads, chosen[2].spreads) < (0, 5)


def test_the_script_writes_tables_and_shows_failures(tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    for name in CLASSES:
        image(data / name / "train/good/000.png")
        for place, kind in enumerate(KINDS):
            image(data / name / "test" / kind / f"{place}.png")
    flags = {"dataset": "folder", "data_path": str(data), "img_size": 24, "resize": "squash"}
    write_folder(tmp_path / "runs", **flags)
    out = tmp_path / "out"
    words = [str(tmp_path / "runs"), "--resamples", "10", "--output_dir", str(out)]
    monkeypatch.setattr(sys, "argv", ["analyze_accuracy.py", *words])
    assert analyze_accuracy.main(words) == 0
    assert capsys.readouterr().out.startswith(f"{LITE}, 3 runs, mean over classes: image AUROC ")
    assert {file.stem for file in out.glob("*.csv")} == {
        "runs", "classes", "peers", "differences", "undone", "elsewhere", "few_shot", "defects", "failures"
    }  # fmt: skip
    assert (out / f"failures_{LITE}.png").stat().st_size > 5000
    assert (out / "failures.csv").read_text().count("\n") == 11
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert analyze_accuracy.main([*words[:-1], str(tmp_path / "bare")]) == 0
    assert "no figure of failures" in capsys.readouterr().err
    assert not list((tmp_path / "bare").glob("failures_*"))


def test_unfinished_runs_are_named_and_other_images_refused(tmp_path):
    with pytest.raises(UsageError, match=r"expected finished runs in .*, found none: scripts/run_accuracy\.sh"):
        accuracy_analysis(tmp_path, lambda *_: {}, Resampling(20))
    write_run(tmp_path / LITE / "preset" / "given-s0")
    write_peer(tmp_path / LITE / "peers" / "dfm")
    (tmp_path / LITE / "peers" / "padim" / "run").mkdir(parents=True)
    found = accuracy_analysis(tmp_path, lambda *_: {}, Resampling(20))
    assert "few_shot" not in found.tables
    assert "peers/padim/run" in next(line for line in found.finding if line.startswith("Left out: "))
    counts = tmp_path / LITE / "peers" / "dfm" / "run" / "counts"
    (counts / "nut.npz").write_bytes((counts / "bolt.npz").read_bytes())
    other = tmp_path / LITE / "peers" / "dfm" / "run" / "counts" / "nut.npz"
    with np.load(other) as stored:
        np.savez(other, **{**stored, "names": stored["names"][::-1]})
    with pytest.raises(UsageError, match="tested on the same images of nut"):
        accuracy_analysis(tmp_path, lambda *_: {}, Resampling(20))
