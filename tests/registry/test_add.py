"""``add-task``: as if the stream had had the product from the start."""

import json
import shutil
from pathlib import Path

import pytest
from miniature import CLASSES, digests, fresh, original, promised, shelf, trained, verb

from moleflow.trainer.checkpoint import RunFolder


def test_every_file_is_as_if_the_stream_had_had_the_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    before = digests(run)
    assert verb("add-task", run, "--task", "biscuit") == 0
    assert {name: digests(run)[name] for name in before} == before
    assert promised(run) == promised(original(*CLASSES))
    assert "biscuit" in capsys.readouterr().out
    assert trained(run.parent, "--resume", "--task_classes", *CLASSES) == 0, "its config.json names the longer stream"
    assert verb("verify", run) == 0


def test_several_classes_at_once(tmp_path: Path) -> None:
    run = fresh(tmp_path, "fabric")
    assert verb("add-task", run, "--task", "washer", "biscuit") == 0
    assert [entry["classes"] for entry in RunFolder(run).manifest["tasks"]] == [["fabric"], ["washer", "biscuit"]]
    assert json.loads((run / "config.json").read_text())["flags"]["cl_scenario"] == "1-2"


def test_killed_on_the_way_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    before = digests(run)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(RunFolder, "_commit", killed)
        assert verb("add-task", run, "--task", "biscuit") == 130
    assert RunFolder(run).finished == ["fabric", "washer"]
    assert {name: digests(run)[name] for name in before} == before
    assert verb("verify", run) == 0
    assert verb("remove-task", run, "--task", "biscuit") == 2, "it is not there yet"
    assert verb("add-task", run, "--task", "biscuit") == 0
    assert promised(run) == promised(original(*CLASSES))


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    run = fresh(tmp_path, "fabric")
    shutil.copytree(shelf() / "products" / "washer", tmp_path / "new line" / "washer")
    assert verb("add-task", run, "--task", "washer", "--data_path", tmp_path / "new line") == 0
    assert promised(run) == promised(original("fabric", "washer"))
    assert verb("evaluate", run) == 0, "it remembers where they lie"
    assert promised(run) == promised(original("fabric", "washer"))


@pytest.mark.parametrize(("words", "expected"), [
    (["--task", "washer"], "knows 'washer' already, in its task 'washer'; replace-task"),
    (["--task", "biscut"], "unknown class 'biscut'"),
    (["--task", "../products/biscuit"], "unknown class '../products/biscuit'"),
    (["--task", "biscuit", "biscuit"], "--task lists a class twice"),
])  # fmt: skip
def test_misuse_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    before = digests(run, "**/*.json", "**/*.safetensors", "report.html")
    assert verb("add-task", run, *words) == 2
    assert expected in capsys.readouterr().err
    assert digests(run, "**/*.json", "**/*.safetensors", "report.html") == before


def test_an_unfinished_run_is_told_to_finish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained(tmp_path, "--task_classes", "fabric", "washer", "--stop_after", "1") == 0
    assert verb("add-task", tmp_path / "run", "--task", "biscuit") == 2
    assert "lacks washer; finish it with run_moleflow.py --resume" in capsys.readouterr().err


def test_a_folder_without_a_run_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("add-task", tmp_path, "--task", "biscuit") == 2
    assert "There is no run in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
