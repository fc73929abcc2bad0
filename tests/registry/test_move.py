"""``export-task`` and ``import-task``: an expert travels as data, between runs of one base."""

import json
import os
from pathlib import Path

import pytest
import torch
from miniature import digests, fresh, original, promised, verb

from moleflow.registry.move import is_plain_name
from moleflow.utils.io import read_metadata, read_tensors, sha256_of, write_tensors


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


def altered(parcel: Path, **changes: object) -> Path:
    """The same expert with other metadata."""
    content = {**json.loads(read_metadata(parcel)["moleflow"]), **changes}
    file = parcel.with_name("altered.safetensors")
    write_tensors(file, read_tensors(parcel), {"moleflow": json.dumps(content)})
    return file


def test_an_imported_expert_is_the_one_that_was_exported(parcel: Path, home: Path) -> None:
    assert verb("import-task", home, "--from", parcel) == 0
    assert promised(home) == promised(original("fabric", "washer"))
    assert verb("verify", home) == 0


def test_without_images_it_is_imported_and_results_are_marked(parcel: Path, home: Path) -> None:
    assert verb("import-task", home, "--from", parcel, "--no_evaluate") == 0
    assert json.loads((home / "results.json").read_text())["stale"] == "import-task washer"
    assert verb("verify", home) == 0


def test_the_first_task_of_one_run_is_a_later_one_of_another(tmp_path: Path) -> None:
    file, run = tmp_path / "fabric.safetensors", fresh(tmp_path)
    assert verb("export-task", run, "--task", "fabric", "--to", file) == 0
    assert verb("remove-task", run, "--task", "fabric", "--no_evaluate") == 0
    assert verb("import-task", run, "--from", file, "--no_evaluate") == 0
    assert (
        digests(run)["experts/fabric.safetensors"]
        == digests(original("fabric", "washer", "biscuit"))["experts/fabric.safetensors"]
    )
    assert verb("verify", run) == 0


def test_another_base_is_refused_by_hash(parcel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = fresh(tmp_path, "biscuit")
    before = digests(other, "*.json", "*/*")
    assert verb("import-task", other, "--from", parcel) == 2
    told = capsys.readouterr().err
    assert sha256_of(original("fabric", "washer") / "base.safetensors") in told
    assert sha256_of(other / "base.safetensors") in told
    assert digests(other, "*.json", "*/*") == before


@pytest.mark.parametrize(("changes", "expected"), [
    ({"config_sha256": "0" * 64}, f"was made by the configuration {'0' * 64}"),
    ({"classes": ["fabric"]}, "knows 'fabric' already"),
    ({"classes": []}, "names classes that no folder can have"),
    ({"classes": ["../../etc"]}, "names classes that no folder can have"),
    ({"classes": ["a\nb"]}, "names classes that no folder can have"),
    ({"classes": 3}, "is not an expert that export-task wrote"),
    ({"classes": ["x" * 300]}, "needs a file name of"),
    ({"version": 2}, "newer than 1; update moleflow"),
    ({"format": "other"}, "is not an expert that export-task wrote"),
    ({"seed": "0"}, "is not an expert that export-task wrote"),
])  # fmt: skip
def test_what_the_file_says_of_itself_is_looked_at(
    parcel: Path, home: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], expected: str
) -> None:
    before = digests(home, "*.json", "*/*")
    assert verb("import-task", home, "--from", altered(parcel, **changes)) == 2
    assert expected in capsys.readouterr().err
    assert digests(home, "*.json", "*/*") == before


def test_damaged_numbers_are_noticed(parcel: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors, metadata = read_tensors(parcel), read_metadata(parcel)
    name = max((key for key in tensors if key.startswith("expert.flow")), key=lambda key: tensors[key].numel())
    write_tensors(parcel, {**tensors, name: torch.full_like(tensors[name], torch.nan)}, metadata)
    assert verb("import-task", home, "--from", parcel) == 1
    assert "scores its probe differently" in capsys.readouterr().err
    write_tensors(parcel, {key: value for key, value in tensors.items() if key != name}, metadata)
    assert verb("import-task", home, "--from", parcel) == 1
    assert "does not fit this model" in capsys.readouterr().err
    parcel.write_bytes(parcel.read_bytes()[:-100])
    assert verb("import-task", home, "--from", parcel) == 1
    assert "damaged or unreadable" in capsys.readouterr().err
    assert promised(home) == promised(original("fabric"))


def test_an_export_replaces_nothing_and_a_broken_expert_is_not_exported(
    parcel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fresh(tmp_path)
    before = parcel.read_bytes()
    os.mkfifo(tmp_path / "pipe")
    for there in (parcel, tmp_path / "pipe", tmp_path):
        assert verb("export-task", run, "--task", "fabric", "--to", there) == 2
        assert "is there already" in capsys.readouterr().err
    assert verb("export-task", run, "--task", "washer", "--to", parcel) == 0, "the very same expert"
    assert parcel.read_bytes() == before
    (run / "experts" / "washer.safetensors").write_bytes(b"rotten")
    assert verb("export-task", run, "--task", "washer", "--to", tmp_path / "new.safetensors") == 1
    assert verb("export-task", run, "--task", "fabric", "--to", tmp_path / "new.safetensors") == 0, "others are usable"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\n", "\0", "a\u202eb", 3, None])
def test_no_class_is_called_so(name: object) -> None:
    assert not is_plain_name(name)
    assert is_plain_name("Schraube M6 × 20")
