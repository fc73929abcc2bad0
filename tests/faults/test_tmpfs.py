"""A disk that is really full: a small file system in memory, where mounting one is permitted."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry.miniature import original, promised, trained

from moleflow.trainer.checkpoint import RunFolder

STREAM = ("--task_classes", "fabric", "washer")


def mount(place: Path, options: str) -> bool:
    """Mount a file system in memory; whether that is permitted."""
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    try:
        return subprocess.run(line, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system, as large as half of a run."""
    run = original("fabric", "washer")
    size = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    place = tmp_path / "small"
    place.mkdir()
    if not mount(place, f"size={size // 2}"):
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_a_run_in_one_sentence_and_space_lets_it_go_on(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert trained(small_disk, *STREAM) == 1
    told = capsys.readouterr().err
    (sentence,) = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "No space left on device" in sentence
    assert "Traceback" not in told
    folder = RunFolder(small_disk / "run")
    for entry in folder.files():
        folder.verified(entry)
    assert mount(small_disk, "remount,size=64m")
    assert trained(small_disk, *STREAM, "--resume") == 0
    assert promised(folder.path) == promised(original("fabric", "washer"))
