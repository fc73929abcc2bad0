"""A run's folder that rots, is newer, or leads elsewhere: named, with the way out, and the rest stays usable."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from registry.miniature import CLASSES, digests, fresh, original, promised, trained, verb

from moleflow.trainer.checkpoint import RunFolder
from moleflow.trainer.lock import RunLock
from moleflow.utils.errors import UsageError
from moleflow.utils.io import read_json, write_json
from moleflow.utils.sums import SUMS


def flip(file: Path) -> None:
    """Turn one bit over."""
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)


def remove(file: Path) -> None:
    """Lose all."""
    file.unlink()


@pytest.mark.parametrize("harm", [flip, remove])
def test_the_rest_is_evaluated_and_the_broken_expert_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: Callable[[Path], None]
) -> None:
    run = fresh(tmp_path)
    harm(run / "experts" / "washer.safetensors")
    before = digests(run, "*.*", "*/*")
    capsys.readouterr()
    assert verb("evaluate", run) == 1
    told = capsys.readouterr()
    (left_out,) = [line for line in told.out.splitlines() if line.startswith("left out: ")]
    assert str(run / "experts" / "washer.safetensors") in left_out
    assert "replace-task" in told.out
    assert "Traceback" not in told.err
    rows = [line.split()[0] for line in told.out.splitlines() if line.startswith((*CLASSES, "mean"))]
    assert rows == ["fabric", "biscuit", "mean"]
    assert digests(run, "*.*", "*/*") == before, "they are not this run's results"
    assert verb("ledger", run) == 0
    assert verb("verify", run) == 1
    told_by_verify = capsys.readouterr().out.splitlines()
    assert sum("differs" in line or "missing" in line for line in told_by_verify) == 1
    shutil.copy(original(*CLASSES) / "experts" / "washer.safetensors", run / "experts")
    assert verb("evaluate", run) == 0
    assert promised(run) == promised(original(*CLASSES))


def test_nothing_is_evaluated_where_nothing_is_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = fresh(tmp_path, "fabric")
    flip(run / "experts" / "fabric.safetensors")
    assert verb("evaluate", run) == 1
    assert "fabric.safetensors differs from its hash" in capsys.readouterr().err


@pytest.mark.parametrize("schema", [2, 0, "1", None, [1]])
def test_a_manifest_of_another_format_names_file_format_and_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: object
) -> None:
    run = fresh(tmp_path, "fabric")
    write_json(run / "stream.json", {**RunFolder(run).manifest, "schema": schema})
    for refused in (
        lambda: verb("evaluate", run),
        lambda: trained(run.parent, "--resume", "--task_classes", "fabric"),
    ):
        assert refused() == 1
        (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        for word in (str(run / "stream.json"), repr(schema), "update moleflow", "restore it from a copy"):
            assert word in told


@pytest.mark.parametrize(("content", "listed"), [("{", False), ('{"after_task": 0}', False), (None, True)])
def test_a_row_of_the_task_matrix_that_rots_is_taken_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, listed: bool
) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    row = run / "evaluations" / "after_001.json"
    row.write_text(content or row.read_text().replace(": 0.", ": 0.9", 1))
    if not listed:  # as older versions left it
        (run / SUMS).unlink()
    assert trained(run.parent, "--resume", "--task_classes", "fabric", "washer") == 1
    told = capsys.readouterr().err
    assert f"{row} {'differs from its hash in SHA256SUMS' if listed else 'is no row of the task matrix'}" in told
    assert "remove it, and --resume takes it again" in told
    row.unlink()
    assert trained(run.parent, "--resume", "--task_classes", "fabric", "washer") == 0
    assert promised(run) == promised(original("fabric", "washer"))


def linked(place: Path, elsewhere: Path) -> None:
    """Move a file or folder of a run elsewhere and leave a link."""
    shutil.move(place, elsewhere)
    place.symlink_to(elsewhere)


def contents(place: Path) -> list[bytes]:
    """What a file, or every file of a folder, holds."""
    return [file.read_bytes() for file in sorted([place, *place.rglob("*")]) if file.is_file()]


@pytest.mark.parametrize("place", ["experts", "experts/washer.safetensors", "evaluations", "results.json", "figures"])
def test_a_run_with_a_link_that_leads_out_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    (run / "figures").mkdir(exist_ok=True)
    linked(run / place, tmp_path / "elsewhere")
    before = contents(tmp_path / "elsewhere")
    for refused in (
        lambda: verb("remove-task", run, "--task", "washer"),
        lambda: trained(run.parent, "--resume", "--task_classes", "fabric", "washer"),
        lambda: trained(run.parent, "--overwrite", "--task_classes", "fabric", "washer"),
    ):
        assert refused() == 1
        (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert f"{run / place} is a link that leads out of the run, to {tmp_path / 'elsewhere'}" in told
    assert contents(tmp_path / "elsewhere") == before


def test_an_expert_behind_a_link_is_not_read_and_a_circle_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    linked(run / "experts" / "washer.safetensors", tmp_path / "elsewhere")
    (run / "probes" / "fabric.safetensors").unlink()
    (run / "probes" / "fabric.safetensors").symlink_to("fabric.safetensors")
    assert verb("verify", run) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert all("is a link that leads out of the run" in line for line in told)


def test_the_folder_itself_may_be_a_link_and_links_within_it_are_fine(tmp_path: Path) -> None:
    run = fresh(tmp_path, "fabric", "washer")
    (run / "copies").mkdir()
    linked(run / "experts" / "washer.safetensors", run / "copies" / "washer.safetensors")
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "run").symlink_to(run)
    assert verb("verify", tmp_path / "named" / "run") == 0
    assert verb("remove-task", tmp_path / "named" / "run", "--task", "fabric", "--no_evaluate") == 0


@pytest.mark.parametrize("left", [b"process 999999 on another-host\n", b"\xff\x00garbage", b""])
def test_what_a_dead_process_left_in_the_lock_is_in_nobodys_way(tmp_path: Path, left: bytes) -> None:
    (tmp_path / ".lock").write_bytes(left)
    with RunLock(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()
        with pytest.raises(UsageError, match=f"Another process .process {os.getpid()} on .* is writing"):
            RunLock(tmp_path)
    RunLock(tmp_path).release()


def test_a_file_system_that_cannot_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with pytest.raises(UsageError, match=r"cannot be locked \(No locks available\); use a local disk"):
        RunLock(tmp_path)


def test_a_clock_that_runs_backwards_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [2e9]

    def earlier() -> float:
        now[0] -= 1000.0
        return now[0]

    monkeypatch.setattr(time, "time", earlier)
    assert trained(tmp_path, "--task_classes", "fabric", "washer", "--stop_after", "1") == 0
    for file in (tmp_path / "run").rglob("*"):
        os.utime(file, (4e9, 4e9))  # written in the future, as the clock now says
    assert trained(tmp_path, "--task_classes", "fabric", "washer", "--resume") == 0
    assert promised(tmp_path / "run") == promised(original("fabric", "washer"))
    assert all(seconds >= 0 for seconds in read_json(tmp_path / "run" / "cost.json")["seconds_per_task"].values())


def test_durations_never_ask_the_clock_on_the_wall() -> None:
    """How old a file is (``cache prune``) is no duration: files are dated by that clock."""
    root = Path(__file__).resolve().parents[2] / "moleflow"
    asking = [file.name for file in root.rglob("*.py") if "time.time()" in file.read_text(encoding="utf-8")]
    assert asking == ["upkeep.py"]


def test_what_a_run_says_of_itself_is_json_to_anyone(tmp_path: Path) -> None:
    run = original("fabric", "washer")
    for file in (*run.glob("*.json"), *run.glob("*/*.json")):
        json.loads(file.read_text(encoding="utf-8"))
