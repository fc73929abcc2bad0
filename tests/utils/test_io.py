"""Files are whole or absent, deterministic, and their errors name them."""

import errno
import json
import os
import stat
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import (
    read_json,
    read_metadata,
    read_tensors,
    sha256_of,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)

METADATA = {name: name * 2 for name in "zyxwvabc"}


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn(3, 5, generator=generator),
        "a": torch.arange(4),
        "half": torch.randn(7, generator=generator).half(),
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "flag": torch.tensor([True, False]),
    }


def test_json_round_trip_keeps_the_order_of_keys(tmp_path):
    content = {"b": [1, 2.5, None], "a": {"ü": "x"}}
    write_json(tmp_path / "new" / "x.json", content)
    assert read_json(tmp_path / "new" / "x.json") == content
    text = (tmp_path / "new" / "x.json").read_text()
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")
    assert '\n  "b"' in text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_no_json_is_refused_and_leaves_the_old_file(tmp_path, value):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises(MoleflowError, match=r"x\.json"):
        write_json(path, {"new": value})
    assert read_json(path) == {"old": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"NaN", b"\xff\xfe", b'{"a": Infinity}'])
def test_a_rotten_json_file_is_named(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(MoleflowError, match=r"x\.json.*JSON"):
        read_json(tmp_path / "x.json")


def test_tensors_round_trip(tmp_path):
    tensors = some_tensors()
    write_tensors(tmp_path / "x.safetensors", tensors, METADATA)
    found = read_tensors(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert list(read_metadata(tmp_path / "x.safetensors").items()) == sorted(METADATA.items())


def test_tensors_need_not_own_their_memory(tmp_path):
    base = torch.arange(12.0).reshape(3, 4).requires_grad_()
    write_tensors(tmp_path / "x.safetensors", {"whole": base, "column": base[:, 1], "turned": base.T})
    found = read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(found["column"], base[:, 1])
    assert torch.equal(found["turned"], base.T)
    assert read_metadata(tmp_path / "x.safetensors") == {}


def test_equal_tensors_give_equal_bytes_whatever_their_order(tmp_path):
    tensors = some_tensors()
    for number in range(8):  # the library shuffles metadata per call
        shuffled = dict(reversed(tensors.items())) if number % 2 else tensors
        write_tensors(tmp_path / f"{number}", shuffled, METADATA)
    assert len({sha256_of(tmp_path / f"{number}") for number in range(8)}) == 1
    write_tensors(tmp_path / "other", {**tensors, "a": tensors["a"] + 1}, METADATA)
    assert sha256_of(tmp_path / "other") != sha256_of(tmp_path / "0")


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"x" * 20, lambda data: data[:12]]
)
def test_a_rotten_tensor_file_is_named(tmp_path, damage):
    path = tmp_path / "x.safetensors"
    write_tensors(path, some_tensors())
    path.write_bytes(damage(path.read_bytes()))
    for read in (read_tensors, read_metadata):
        with pytest.raises(MoleflowError, match=r"x\.safetensors.*damaged"):
            read(path)


@pytest.mark.parametrize("read", [read_json, read_tensors, read_metadata, sha256_of])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(MoleflowError, match=r"absent\.x.*found nothing"):
        read(tmp_path / "absent.x")
    with pytest.raises(MoleflowError, match=r"cannot read"):
        read(tmp_path)  # a folder


def test_sha256_is_the_well_known_one(tmp_path):
    write_bytes(tmp_path / "x", b"abc")
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("target", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, target):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    monkeypatch.setattr(target, full_disk)
    with pytest.raises(MoleflowError, match=r"cannot write .*x\.txt: No space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MoleflowError, match=r"cannot write .*x\.json"):
        write_json(tmp_path / "file" / "x.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(MoleflowError, match="cannot write"):
        write_json(tmp_path / "folder", {})


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def spy_replace(self, target):
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_text(tmp_path / "x", "text")
    assert calls == ["file", "rename", "folder"]
    write_bytes(tmp_path / "y", b"cache", durable=False)
    assert calls[3:] == ["rename"]


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "x", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


def write_for_ever(path: Path) -> None:
    for number in count():
        write_json(path, {"number": number, "padding": "x" * 100_000})


def test_a_reader_never_sees_half_a_file_not_even_after_a_kill(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"number": -1})
    writer = get_context("fork").Process(target=write_for_ever, args=(path,))
    writer.start()
    try:
        seen = set()
        while len(seen) < 4 and writer.is_alive():
            seen.add(read_json(path)["number"])
    finally:
        writer.kill()
        writer.join()
    assert len(seen) == 4
    assert json.loads(path.read_text())["number"] >= 0
