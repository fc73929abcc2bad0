"""Listed files are there as they were listed, under one of two names, whenever their writer dies."""

import shutil
import subprocess
from pathlib import Path

import pytest

from moleflow.utils import sums as module
from moleflow.utils.errors import MoleflowError
from moleflow.utils.sums import SUMS, Sums, beside


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_what_is_written_is_listed_as_sha256sum_reads_it(tmp_path):
    sums = Sums(tmp_path)
    sums.write("rows/a%20b.csv", b"1,2\n")
    sums.write_json("b.json", {"a": 1})
    sums.write_json("b.json", {"a": 2})
    assert sums.read_json("b.json") == {"a": 2}
    assert list(sums.listed) == ["b.json", "rows/a%20b.csv"]
    assert list(sums.problems()) == []
    assert set(contents(tmp_path)) == {SUMS, "b.json", "rows/a%20b.csv"}
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=tmp_path, check=True)


@pytest.mark.parametrize("dies", ["before the list", "before the rename"])
def test_whoever_dies_leaves_the_old_content_or_the_new(tmp_path, monkeypatch, dies):
    sums = Sums(tmp_path)
    sums.write("a", b"old")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Sums, "_write" if "list" in dies else "settle", die)
        if "rename" in dies:
            module.write_bytes(beside(tmp_path / "a"), b"new")
        with pytest.raises(KeyboardInterrupt):
            sums.adopt(["a"]) if "rename" in dies else sums.write("a", b"new")
    assert list(sums.problems()) == []
    assert sums.found("a").read_bytes() == (b"old" if "list" in dies else b"new")
    sums.settle()
    assert (tmp_path / "a").read_bytes() == (b"old" if "list" in dies else b"new")


def test_what_waits_and_is_listed_is_not_lost_to_the_next_writer(tmp_path, monkeypatch):
    sums = Sums(tmp_path)
    module.write_bytes(beside(tmp_path / "a"), b"new")
    with monkeypatch.context() as patch:
        patch.setattr(Sums, "settle", lambda *_: None)
        sums.adopt(["a"])
    monkeypatch.setattr(Sums, "_write", lambda *_: (_ for _ in ()).throw(MoleflowError("the disk is full")))
    with pytest.raises(MoleflowError, match="full"):
        sums.write("a", b"newer")
    assert sums.found("a").read_bytes() == b"new"


def test_what_differs_or_is_missing_is_named(tmp_path):
    sums = Sums(tmp_path)
    for name in "abc":
        sums.write(name, b"1")
    (tmp_path / "a").write_bytes(b"2")
    (tmp_path / "b").unlink()
    assert [problem.split(SUMS)[0] for problem in sums.problems()] == [
        f"{tmp_path / 'a'} differs from its hash in ",
        f"{tmp_path / 'b'} is missing, and listed in ",
    ]
    sums.remove("ab")
    assert list(sums.problems()) == []
    assert set(contents(tmp_path)) == {SUMS, "c"}


def test_a_file_that_is_not_listed_is_read_as_it_is(tmp_path):
    (tmp_path / "a").write_text("1")
    assert Sums(tmp_path).read_json("a") == 1
    Sums(tmp_path).remove(["a"])
    assert contents(tmp_path) == {}, "no list where there was none"


@pytest.mark.parametrize("line", ["", "nonsense", f"{'0' * 64}  ../a", f"{'0' * 64}  /a", f"{'0' * 63}  a", "é"])
def test_a_damaged_list_is_named(tmp_path, line):
    (tmp_path / SUMS).write_text(f"{line}\n")
    (told,) = Sums(tmp_path).problems()
    assert told.startswith(f"{tmp_path / SUMS} is damaged")
    with pytest.raises(MoleflowError, match="is damaged"):
        Sums(tmp_path).write("a", b"")
