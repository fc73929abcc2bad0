"""A disk that is full or broken, at every place where a run writes: nothing finished is lost, and the run goes on."""

import errno
import random
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from faults.disk import Disk, failing
from registry.miniature import original, promised, shelf, trained

from moleflow.trainer.checkpoint import RunFolder
from moleflow.utils.io import read_json
from moleflow.utils.log import RunLog, read_metrics, say

STREAM = ("--task_classes", "fabric", "washer")
GIVES_WAY = re.compile(r"metrics\.jsonl|run\.log|\.lock$|^\.$")
"""What a run can do without; the last is a trial whether the folder of runs can be written, which has two ways."""
ERRORS = {errno.ENOSPC: "No space left on device", errno.EIO: "Input/output error"}


def short_run(log_dir: Path, *words: str) -> int:
    """A run of two tasks."""
    return trained(log_dir, *STREAM, *words)


@cache
def places() -> tuple[tuple[str, str], ...]:
    """Everything that a short run asks of the disk, in order."""
    log_dir = shelf() / "counted"
    log_dir.mkdir()
    with failing(Disk(log_dir)) as disk:
        assert short_run(log_dir) == 0
    return tuple(disk.asked)


def whole(run: Path) -> None:
    """Every file that the manifest or the list of hashes names is there and is what it says; JSON can be read."""
    folder = RunFolder(run)
    for entry in folder.files():
        folder.verified(entry)
    assert list(folder.sums.problems()) == []
    for file in (*run.glob("*.json"), *run.glob("*/*.json")):
        read_json(file)


def survives(log_dir: Path, number: int, error: int, capsys: pytest.CaptureFixture[str]) -> None:
    """One run whose disk fails at one place, and the same run resumed on a disk that works."""
    place = places()[number]
    with failing(Disk(log_dir, number, error)) as disk:
        code = short_run(log_dir)
    assert disk.asked[number] == place, "a run asks the disk for the same things each time"
    told = capsys.readouterr().err
    assert "Traceback" not in told, place
    assert "Exception ignored" not in told, place
    if code == 0:
        assert GIVES_WAY.search(place[1]), place
    else:
        said_in_one_sentence(told, code, error)
    run = log_dir / "run"
    if (run / "config.json").exists():
        whole(run)
    finished = RunFolder(run).finished
    assert short_run(log_dir, "--resume") == 0, place
    assert RunFolder(run).finished[: len(finished)] == finished
    assert promised(run) == promised(original("fabric", "washer")), place
    whole(run)
    assert not list(run.rglob("*.tmp")), place
    capsys.readouterr()


def said_in_one_sentence(told: str, code: int, error: int) -> None:
    """What the command line says at its end; before anything is trained another folder is the way out: misuse."""
    (sentence,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert ERRORS[error] in sentence
    assert code == (2 if "; give " in sentence else 1), sentence


def test_a_run_asks_for_more_than_a_hundred_things_and_every_kind_is_counted() -> None:
    kinds = {operation for operation, _ in places()}
    assert kinds == {"open", "write", "flush", "truncate", "close", "fsync", "rename", "mkdir"}
    assert len(places()) > 100
    files = {Path(file).name for _, file in places()}
    for name in ("config.json", "stream.json", "results.json", "results.csv", "predictions.csv", "report.html"):
        assert name in files
    assert {"base.safetensors.next", "fabric.safetensors.next", "metrics.jsonl", "run.log", ".lock"} <= files


@pytest.mark.parametrize("seed", range(3))
def test_a_disk_that_fails_somewhere_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    number = random.Random(seed).randrange(len(places()))
    survives(tmp_path, number, (errno.ENOSPC, errno.EIO)[seed % 2], capsys)


def test_a_disk_that_fails_while_the_list_of_hashes_is_written_leaves_no_file_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = lambda file, before: max(i for i, place in enumerate(places()[:before]) if place == ("rename", file))
    again = last("run/results.json", None)  # its second task's, over those of the first
    survives(tmp_path, last("run/SHA256SUMS", again), errno.ENOSPC, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
def test_a_disk_that_fails_anywhere_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: int
) -> None:
    for number in range(len(places())):
        (tmp_path / str(number)).mkdir()
        survives(tmp_path / str(number), number, error, capsys)
        shutil.rmtree(tmp_path / str(number))


def test_a_run_without_its_logs_and_its_cache_ends_with_the_same_bytes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    only = r"/metrics\.jsonl$|/run\.log$|/events\.out|/feature_cache"
    with failing(Disk(tmp_path, 6, only=only)):
        assert short_run(tmp_path, "--tensorboard", "--feature_cache", str(tmp_path / "feature_cache")) == 0
    told = capfd.readouterr().err
    warnings = [line for line in told.splitlines() if ERRORS[errno.ENOSPC] in line]
    for place in ("metrics.jsonl of", "run.log", "TensorBoard of", "the feature cache cannot be used"):
        assert sum(place in line for line in warnings) == 1, told
    assert len(warnings) == 4
    assert "Traceback" not in told
    assert "Exception ignored" not in told
    assert promised(tmp_path / "run") == promised(original("fabric", "washer"))


@pytest.mark.parametrize(("only", "said"), [
    (r"/metrics\.jsonl$", "metrics.jsonl of"), (r"/run\.log$", "run.log"), (r"/events\.out", "TensorBoard of"),
])  # fmt: skip
@pytest.mark.parametrize("first", range(4))
def test_a_log_gives_way_with_one_warning_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], only: str, said: str, first: int
) -> None:
    with failing(Disk(tmp_path, first, only=only)) as disk, RunLog(tmp_path, tensorboard=True) as log:
        for step in range(4):
            log.scalars("a", step, {"loss": 1.0})
            say("a sentence")
    assert len(disk.asked) > first
    warnings = [line for line in capfd.readouterr().err.splitlines() if ERRORS[errno.ENOSPC] in line]
    assert len(warnings) == 1
    assert said in warnings[0]
    if "metrics" not in said:
        assert len(read_metrics(tmp_path)) == 4
    if "run.log" not in said:
        assert (tmp_path / "run.log").read_text().count("a sentence") == 4


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"task": "a", "step": 0}\n{"task": "a", "st')
    with RunLog(tmp_path, tensorboard=False) as log:
        log.scalars("a", 1, {"loss": 1.0})
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 1]
