"""The scripts for choosing settings without test labels."""

import pytest
from layouts import product
from scripts.calling import call

from moleflow.data.datasets import open_dataset

MAKE = "make_inner_validation.py"


def test_an_inner_validation_is_made_and_read_as_a_folder(tmp_path):
    product(tmp_path / "data")
    words = ("--dataset", "folder", "--data_path", tmp_path / "data", "--kinds", "spot", "warp", "--per_kind", 2)
    done = call(MAKE, *words, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "out"))
    made = open_dataset("folder", tmp_path / "out")
    assert [sample.defect for sample in made.test("bolt")] == ["good", "spot", "spot", "warp", "warp"]
    done = call(MAKE, *words, "--seed", 1, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "choose another folder" in done.stderr


@pytest.mark.parametrize(("script", "words", "sentence"), [
    (MAKE, ["--kinds", "spt"], "did you mean 'spot'"),
    (MAKE, [], "no class of dataset 'folder'"),
    ("analyze_rank_agreement.py", [], "no run in"),
])  # fmt: skip
def test_misuse_is_one_sentence(tmp_path, script, words, sentence):
    where = [tmp_path, tmp_path, "--output_dir", tmp_path / "out"]
    if script == MAKE:
        where = ["--dataset", "folder", "--data_path", tmp_path, "--out", tmp_path / "out"]
    done = call(script, *where, *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
