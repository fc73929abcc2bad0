"""The scripts about data: they do what they say, and misuse is one sentence with exit code 2."""

import pytest
from layouts import product
from scripts.calling import call

from moleflow.data.datasets import open_dataset


def test_make_shifted_writes_a_folder_a_severity(tmp_path):
    product(tmp_path / "data")
    words = ("--dataset", "folder", "--data_path", tmp_path / "data", "--severities", "mild", "severe")
    done = call("make_shifted.py", *words, "--transforms", "rotation", "noise", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "out/mild"), str(tmp_path / "out/severe")]
    mild, severe = (open_dataset("shifted", tmp_path / "out" / name) for name in ("mild", "severe"))
    assert len(mild.train("bolt")) == len(severe.train("bolt")) == 2
    assert (tmp_path / "out/splits/bolt.json").is_file()
    assert call("make_shifted.py", *words, "--out", tmp_path / "out").returncode == 2, "other transforms, same folder"


@pytest.mark.parametrize(
    ("script", "words", "sentence"),
    [
        ("make_shifted.py", ("--out", "x", "--severities", "sever"), "did you mean 'severe'"),
        ("make_shifted.py", ("--out", "x", "--dataset", "folder", "--data_path", "nowhere"), "does not exist"),
        ("make_shifted.py", (), "--out"),
        ("explore_dataset.py", ("--out", "x", "--dataset", "foldr", "--data_path", "x"), "did you mean 'folder'"),
        ("plot_shift_examples.py", ("--out", "x", "--task_classes", "washr"), "did you mean 'washer'"),
        ("download_dataset.py", ("mvtecc", "--out", "x"), "mvtecc"),
        ("download_dataset.py", ("mpdd", "--out", "x"), "get it from"),
    ],
)
def test_misuse_is_one_sentence(script, words, sentence, tmp_path):
    done = call(script, *(tmp_path / word if word == "x" else word for word in words))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr.splitlines()[-1]
