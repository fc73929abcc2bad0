"""A run, and every verb that reads images, on folders full of what is no image."""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from faults.lives import NEVER, output, started, wait_for
from hostile import BAD, GOOD, as_nobody, patience, put, put_bad
from PIL import Image
from registry.miniature import original, shelf, verb, words_for
from torch import Tensor

from moleflow.__main__ import main as verbs
from moleflow.extractors.task_features import TaskFeatures
from moleflow.trainer.checkpoint import RunFolder
from moleflow.utils.text import shown
from run_moleflow import main as train

SKIP = ("--on_bad_image", "skip")


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    with patience(300):
        yield


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two products; the second is hostile."""
    folder = tmp_path / "products"
    for name in ("fabric", "washer"):
        shutil.copytree(shelf() / "products" / name, folder / name)
    return folder


def trained(data: Path, log_dir: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["run_moleflow.py", *words_for(log_dir, *words, data=data)])
    return train()


def one_error(printed: str) -> str:
    """The one sentence of a command that failed."""
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if "error: " in line]
    return line


def test_a_run_and_its_verbs_name_skip_and_count_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, logs = tmp_path / "logs" / "run", tmp_path / "logs"
    bad = put_bad(data / "fabric" / "train" / "good") + put_bad(data / "fabric" / "test" / "good")
    put(data / "fabric" / "train" / "good", GOOD)
    good = put(data / "fabric" / "test" / "good", GOOD)

    assert trained(data, logs, monkeypatch, "--task_classes", "fabric") == 2
    assert "--on_bad_image skip" in one_error(capsys.readouterr().err)

    assert trained(data, logs, monkeypatch, "--task_classes", "fabric", *SKIP) == 0
    told = capsys.readouterr().err
    assert f"{len(bad)} images were skipped" in told
    names_each_once(run, bad)
    assert all(told.count(f"cannot use image {shown(path)}: ") == 1 for path in bad)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Skipped images" in page
    assert all(reason.split("(")[0] in page for _, reason in BAD.values())
    table = (run / "predictions.csv").read_text(encoding="utf-8")
    assert not any(str(path) in table or shown(path) in table for path in bad)
    assert all(str(path) in table or shown(path) in table for path in good)
    every_number_is_finite(run)

    before = (run / "results.json").read_bytes()
    assert verb("evaluate", run) == 0, "as the run was made: skipped"
    assert (run / "results.json").read_bytes() == before
    assert verb("evaluate", run, "--on_bad_image", "error") == 2
    assert "cannot use image" in one_error(capsys.readouterr().err)

    more = put_bad(data / "washer" / "train" / "good")
    assert verb("add-task", run, "--task", "washer") == 0
    names_each_once(run, bad + more)
    assert verb("replace-task", run, "--task", "washer") == 0
    names_each_once(run, bad + more)
    assert verb("remove-task", run, "--task", "washer") == 0
    names_each_once(run, bad)


def names_each_once(run: Path, bad: list[Path]) -> None:
    """results.json lists exactly these images, each with its reason."""
    skipped = json.loads((run / "results.json").read_text(encoding="utf-8"))["skipped"]
    assert skipped["count"] == len(bad)
    assert sorted(row["path"] for row in skipped["images"]) == sorted(map(shown, bad))
    reasons = {shown(name): reason for name, (_, reason) in BAD.items()}
    assert all(reasons[row["path"].rsplit("/", 1)[-1]] in row["reason"] for row in skipped["images"])


def every_number_is_finite(run: Path) -> None:
    """NaN is no JSON, so a result that holds one cannot be written; scores are looked at one by one."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    cells = [row[name] for row in rows for name in ("score", "oracle_score", "threshold")]
    assert all(cell == "" or np.isfinite(float(cell)) for cell in cells)
    json.loads((run / "results.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.mark.slow
def test_a_run_made_strict_goes_on_by_skipping_once_it_is_told_to(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, logs = tmp_path / "logs" / "run", tmp_path / "logs"
    broken = data / "washer" / "train" / "good" / "broken.jpg"
    BAD["truncated.jpg"][0](broken)
    two = ("--task_classes", "fabric", "washer")
    assert trained(data, logs, monkeypatch, *two) == 2
    assert str(broken) in one_error(capsys.readouterr().err)
    assert trained(data, logs, monkeypatch, *two, "--resume", *SKIP) == 0
    skipped = json.loads((run / "results.json").read_text())["skipped"]
    assert [(row["path"], row["class_name"], row["split"]) for row in skipped["images"]] == [
        (str(broken), "washer", "train")
    ]
    BAD["truncated.jpg"][0](data / "fabric" / "test" / "good" / "new.jpg")
    assert verb("evaluate", run, "--on_bad_image", "error") == 2
    capsys.readouterr()
    assert verb("evaluate", run, *SKIP) == 0
    assert "2 images were skipped" in capsys.readouterr().err
    assert verbs(["data", "check", "--dataset", "folder", "--data_path", str(data)]) == 1
    printed = capsys.readouterr().out
    named = [line for line in printed.splitlines() if "cannot use image" in line]
    assert [sum(f"{name}.jpg" in line for line in named) for name in ("broken", "new")] == [1, 1]


UNCACHED = ("--no_feature_cache", "--task_classes", "washer", "fabric")


def vanishing(data: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> list[Path]:
    """Images that are taken away before a task's first step."""
    gone, take = sorted((data / "fabric").glob(pattern)), TaskFeatures.take

    def taking(self: TaskFeatures, indices: Sequence[int]) -> Tensor:
        for path in gone if "fabric" in self.class_index else ():
            path.unlink(missing_ok=True)
        return take(self, indices)

    monkeypatch.setattr(TaskFeatures, "take", taking)
    return gone


def test_images_that_vanish_while_a_task_trains_are_left_out_and_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = vanishing(data, monkeypatch, "train/good/00[0-3].png")
    assert trained(data, tmp_path / "logs", monkeypatch, *UNCACHED, *SKIP) == 0
    told = capsys.readouterr().err
    assert f"{len(gone)} images were skipped" in told
    skipped = json.loads((tmp_path / "logs" / "run" / "results.json").read_text())["skipped"]
    assert [(row["path"], row["split"]) for row in skipped["images"]] == [(str(path), "train") for path in gone]
    assert all("does not exist (any more)" in row["reason"] for row in skipped["images"])
    every_number_is_finite(tmp_path / "logs" / "run")


@pytest.mark.parametrize(("words", "pattern"), [((), "train/good/000.png"), (SKIP, "train/good/*.png")])
def test_where_none_may_vanish_or_none_is_left_the_run_stops_and_keeps_what_it_has(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    pattern: str,
) -> None:
    gone = vanishing(data, monkeypatch, pattern)
    assert trained(data, tmp_path / "logs", monkeypatch, *UNCACHED, *words) == 2
    sentence = one_error(capsys.readouterr().err)
    assert any(str(path) in sentence for path in gone)
    assert ("--resume" if words else "--on_bad_image skip") in sentence
    assert RunFolder(tmp_path / "logs" / "run").finished == ["washer"]


@pytest.mark.slow
def test_an_image_that_is_deleted_while_a_real_run_trains_is_left_out(data: Path, tmp_path: Path) -> None:
    gone, log_dir = data / "fabric" / "train" / "good" / "002.png", tmp_path / "logs"
    words = ("--data_path", str(data), "--num_steps", "300", *UNCACHED[:2], "fabric", *SKIP)
    process = started(log_dir, *words, share=NEVER)
    metrics = log_dir / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 2, process)
    gone.unlink()
    process.join()
    assert process.exitcode == 0, output(log_dir)
    assert f"cannot use image {gone}: it does not exist (any more)" in output(log_dir)
    skipped = json.loads((log_dir / "run" / "results.json").read_text())["skipped"]
    assert [row["path"] for row in skipped["images"]] == [str(gone)]


@pytest.mark.slow
def test_a_run_that_may_not_read_an_image_skips_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that gave up the rights of root, so that the system really denies."""
    original("fabric")  # imports all there is to import: nobody may read that
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copytree(shelf() / "products" / "fabric", folder / "products" / "fabric")
        denied = folder / "products" / "fabric" / "train" / "good" / "002.png"
        denied.chmod(0)
        own = ("--feature_cache", str(folder / "cache"), "--task_classes", "fabric")
        code = lambda *words: as_nobody(
            lambda: str(trained(folder / "products", folder / "logs", monkeypatch, *own, *words))
        )
        assert code() == "2"
        assert code(*SKIP) == "0"
        skipped = json.loads((folder / "logs" / "run" / "results.json").read_text())["skipped"]
        assert [(row["path"], row["reason"]) for row in skipped["images"]] == [
            (str(denied), "permission to read it is denied")
        ]


def test_a_product_of_constant_images_makes_no_nan(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (data / "fabric").rglob("*.png"):
        if "ground_truth" not in path.parts:  # training images are black alone: nothing about them varies
            white = "test" in path.parts and "good" not in path.parts
            Image.new("RGB", (64, 64), (255, 255, 255) if white else (0, 0, 0)).save(path)
    constant = ("--val_fraction", "0.4", "--score_calibration", "zscore", "--router_reject_rate", "0.1")
    assert trained(data, tmp_path / "logs", monkeypatch, "--task_classes", "fabric", "washer", *constant) == 0
    every_number_is_finite(tmp_path / "logs" / "run")
    rows = json.loads((tmp_path / "logs" / "run" / "results.json").read_text())["per_class"]
    assert rows["fabric"]["image_auroc"] == 1


def test_a_class_whose_name_cannot_be_shown_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("two\nlines", "no\udcfftext"):
        (data / "fabric").rename(data / name)
        assert trained(data, tmp_path / "logs", monkeypatch, "--task_classes", name) == 2
        assert f"'{shown(name)}'" in one_error(capsys.readouterr().err)
        verbs(["data", "check", "--dataset", "folder", "--data_path", str(data)])
        assert shown(name) in capsys.readouterr().out
        (data / name).rename(data / "fabric")
