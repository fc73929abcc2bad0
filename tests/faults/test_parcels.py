"""Experts that others made, and names that others chose, stay inside the run's folder and stay data."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from registry.miniature import digests, fresh, original, verb

from moleflow.config.task import Task
from moleflow.registry import move
from moleflow.trainer.checkpoint import file_name
from moleflow.utils.errors import UsageError
from moleflow.utils.io import read_metadata, read_tensors, write_tensors


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """The washer's expert as a file."""
    file = tmp_path / "washer.safetensors"
    assert verb("export-task", original("fabric", "washer"), "--task", "washer", "--to", file) == 0
    return file


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A run of the same base that has not learned the washer."""
    return fresh(tmp_path, "fabric")


def refused(home: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Import a file that must be refused in one sentence and leave the run as it was."""
    before = digests(home, "*.*", "*/*")
    around = sorted(home.parents[1].rglob("*"))
    capsys.readouterr()
    code = verb("import-task", home, "--from", file, "--no_evaluate")
    told = capsys.readouterr().err
    assert code in (1, 2), told
    assert told.startswith("error: ")
    assert told.count("\n") == 1, told
    assert str(file) in told
    assert digests(home, "*.*", "*/*") == before
    assert sorted(home.parents[1].rglob("*")) == around
    return code, told


def with_header(parcel: Path, change: Callable[[dict[str, Any]], Any], length: int | None = None) -> Path:
    """The same file with another header; ``length`` is what it says of it."""
    data = parcel.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.dumps(change(json.loads(data[8:start]))).encode()
    parcel.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data[start:])
    return parcel


def first_tensor(header: dict[str, Any]) -> dict[str, Any]:
    """The entry of the first tensor."""
    return next(value for key, value in header.items() if key != "__metadata__")


def huge_shape(header: dict[str, Any]) -> dict[str, Any]:
    """A tensor that would not fit any memory."""
    first_tensor(header)["shape"] = [2**40, 2**40]
    return header


def beyond_the_end(header: dict[str, Any]) -> dict[str, Any]:
    """A tensor that ends behind the file."""
    first_tensor(header)["data_offsets"][1] += 2**50
    return header


def overlapping(header: dict[str, Any]) -> dict[str, Any]:
    """Two tensors in one place."""
    first, second, *_ = (value for key, value in header.items() if key != "__metadata__")
    second["data_offsets"] = first["data_offsets"]
    return header


def of_code(header: dict[str, Any]) -> dict[str, Any]:
    """A type that is no number."""
    first_tensor(header)["dtype"] = "OBJECT"
    return header


@pytest.mark.parametrize("change", [huge_shape, beyond_the_end, overlapping, of_code, lambda header: [header]])
def test_a_header_that_lies_is_refused(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], Any]
) -> None:
    code, told = refused(home, with_header(parcel, change), capsys)
    assert code == 1
    assert "damaged or unreadable" in told


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length_is_refused(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    code, told = refused(home, with_header(parcel, dict, length), capsys)
    assert code == 1
    assert "damaged or unreadable" in told


def test_a_tensor_that_is_named_twice_is_no_way_in(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = parcel.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    name = next(key for key in header if key.startswith("expert."))
    twice = json.dumps(header)[:-1] + ", " + json.dumps({name: header[name]})[1:]
    parcel.write_bytes(struct.pack("<Q", len(twice)) + twice.encode() + data[start:])
    if verb("import-task", home, "--from", parcel, "--no_evaluate"):
        assert "damaged or unreadable" in capsys.readouterr().err
    else:  # both name the same bytes, and the expert scores its probe as it should
        assert verb("verify", home) == 0


@pytest.mark.parametrize(("dtype", "said"), [(torch.int8, "torch.int8"), (torch.float64, "torch.float64")])
def test_numbers_of_another_type_are_named(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str], dtype: torch.dtype, said: str
) -> None:
    tensors, metadata = read_tensors(parcel), read_metadata(parcel)
    name = next(key for key in sorted(tensors) if key.startswith("expert.flow"))
    write_tensors(parcel, {**tensors, name: tensors[name].to(dtype)}, metadata)
    code, told = refused(home, parcel, capsys)
    assert code == 1
    assert f"{name.removeprefix('expert.')} should be torch.float16, found {said}" in told


def test_another_shape_and_tensors_of_no_part_are_named(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors, metadata = read_tensors(parcel), read_metadata(parcel)
    name = next(key for key in sorted(tensors) if key.startswith("expert.flow"))
    write_tensors(parcel, {**tensors, name: torch.zeros(3, 5, 7).half()}, metadata)
    before = digests(home, "*.*", "*/*")
    assert verb("import-task", home, "--from", parcel, "--no_evaluate") == 1
    told = capsys.readouterr().err
    assert "does not fit this model" in told
    assert "[3, 5, 7]" in told
    write_tensors(parcel, {**tensors, "expert.../../etc/passwd": torch.zeros(1).half()}, metadata)
    assert verb("import-task", home, "--from", parcel, "--no_evaluate") == 1
    assert "it has no ../../etc/passwd" in capsys.readouterr().err
    assert digests(home, "*.*", "*/*") == before


def test_pipes_devices_folders_and_files_of_any_size_are_not_opened(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "folder"):
        code, told = refused(home, place, capsys)
        assert code == 2
        assert "is no file but a folder, a pipe or a device" in told
    with (tmp_path / "large").open("wb") as file:
        file.truncate(move.LARGEST + 1)
    code, told = refused(home, tmp_path / "large", capsys)
    assert code == 2
    assert "an expert has at most" in told


def test_an_export_follows_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    assert verb("export-task", original("fabric", "washer"), "--task", "washer", "--to", tmp_path / "link") == 2
    (tmp_path / "dangling").symlink_to(tmp_path / "not_there_yet")
    assert verb("export-task", original("fabric", "washer"), "--task", "washer", "--to", tmp_path / "dangling") == 0
    assert not (tmp_path / "not_there_yet").exists()
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_name_that_cannot_be_shown_is_refused() -> None:
    for name in ("a\nb", "a\udcffb"):
        with pytest.raises(UsageError, match="cannot be shown"):
            file_name(Task((name,), 0))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "a\\b", "C:x", "é ü", "~"])
def test_no_name_of_a_class_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    file = (tmp_path / "experts" / file_name(Task((name,), 0))).resolve()
    assert file.parent == tmp_path / "experts"
    assert file.suffix == ".safetensors"
    assert file.name.isprintable()


@pytest.mark.parametrize("name", ["../products/fabric", "/etc", "..", "a\nb"])
def test_a_task_is_a_class_of_the_data_and_no_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run = fresh(tmp_path, "fabric")
    before = digests(run, "*.*", "*/*")
    assert verb("add-task", run, "--task", name) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert digests(run, "*.*", "*/*") == before
