"""Files of arrays: whole or absent, the same bytes for the same arrays, and one sentence where they are damaged."""

import errno
import time
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from moleflow.utils.arrays import read_arrays, write_arrays
from moleflow.utils.errors import MoleflowError


def both(stored):
    return stored["numbers"], stored["names"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "new" / "a.npz", numbers=np.arange(6).reshape(2, 3), names=np.array(["a", "ö"]))
    return tmp_path / "new" / "a.npz"


def test_what_is_written_is_read(file: Path) -> None:
    numbers, names = read_arrays(file, both, "scores", "score again")
    assert numbers.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert names.tolist() == ["a", "ö"]
    assert [path.name for path in file.parent.iterdir()] == ["a.npz"]


def test_the_same_arrays_are_the_same_bytes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    write_arrays(file, numbers=np.arange(6).reshape(2, 3), names=np.array(["a", "ö"]))
    assert file.read_bytes() == before
    with ZipFile(file) as content:
        assert {entry.date_time for entry in content.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_arrays_are_compressed(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", zeros=np.zeros(10_000))
    assert (tmp_path / "a.npz").stat().st_size < 1_000


def test_a_write_that_fails_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(MoleflowError, match=r"cannot write .*a\.npz: No space left on device"):
        write_arrays(file, numbers=np.zeros(1))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["a.npz"]


def objects(file: Path) -> None:
    np.savez(file, numbers=np.array([object()]), names=np.array(["a"]))


@pytest.mark.parametrize("damage", [
    lambda file: file.write_bytes(file.read_bytes()[:-40]),
    lambda file: file.write_bytes(b"nonsense"),
    lambda file: file.unlink(),
    lambda file: write_arrays(file, numbers=np.zeros(1)),
    objects,
], ids=["cut", "nonsense", "missing", "an array less", "pickled"])  # fmt: skip
def test_damage_is_one_sentence(file: Path, damage) -> None:
    damage(file)
    with pytest.raises(MoleflowError, match=r"a\.npz holds no scores that can be read \(.+\): score again$"):
        read_arrays(file, both, "scores", "score again")


def test_memory_that_runs_out_is_no_damage(file: Path) -> None:
    def too_large(stored):
        raise MemoryError

    with pytest.raises(MemoryError):
        read_arrays(file, too_large, "scores", "score again")
