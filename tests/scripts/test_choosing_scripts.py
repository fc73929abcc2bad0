"""The scripts for choosing settings without test labels, in this process."""

import importlib
import sys
from pathlib import Path

import pytest
from layouts import product

from moleflow.data.datasets import open_dataset
from moleflow.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def call(script: str, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """A script's exit code."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, words)])
    code: int = importlib.import_module(script).main(sys.argv[1:])
    return code


def test_an_inner_validation_is_made_and_read_as_a_folder(tmp_path, monkeypatch, capsys):
    product(tmp_path / "data")
    words = ("--dataset", "folder", "--data_path", tmp_path / "data", "--kinds", "spot", "warp", "--per_kind", 2)
    assert call("make_inner_validation", monkeypatch, *words, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    made = open_dataset("folder", tmp_path / "out")
    assert [sample.defect for sample in made.test("bolt")] == ["good", "spot", "spot", "warp", "warp"]
    with pytest.raises(UsageError, match="choose another folder"):
        call("make_inner_validation", monkeypatch, *words, "--seed", 1, "--out", tmp_path / "out")


def test_misuse_of_the_scripts_is_one_sentence(tmp_path, monkeypatch):
    words = ("--dataset", "folder", "--data_path", tmp_path, "--out", tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean 'spot'"):
        call("make_inner_validation", monkeypatch, *words, "--kinds", "spt")
    with pytest.raises(UsageError, match="no class of dataset 'folder'"):
        call("make_inner_validation", monkeypatch, *words)
    with pytest.raises(UsageError, match="no run in"):
        call("analyze_rank_agreement", monkeypatch, tmp_path, tmp_path, "--output_dir", tmp_path / "out")
