"""``python -m moleflow``: verbs, their exit codes, and what misuse is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from layouts import image, mask, product

from moleflow.__main__ import VERBS, main

ROOT = Path(__file__).resolve().parents[1]


def test_a_whole_dataset_ends_with_0_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    product(tmp_path)
    assert main(["data", "check", "--dataset", "folder", "--data_path", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "bolt" in printed.out
    assert printed.out.endswith("7 images of 1 class: complete\n")
    assert printed.err == ""


def test_a_problem_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask(product(tmp_path) / "ground_truth/dent/000_mask.png", value=0)
    assert main(["data", "check", "--dataset", "folder", "--data_path", str(tmp_path)]) == 1
    assert "bolt: mask" in capsys.readouterr().out


def test_flags_reach_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "folder"
    file = product(root) / "train/good/000.png"
    content = bytearray(file.read_bytes())
    content[-30:-25] = bytes(5)
    file.write_bytes(content)
    image(root / "half/test/good/000.png")
    monkeypatch.setenv("MOLEFLOW_DATA", str(tmp_path))
    words = ["data", "check", "--dataset", "folder"]
    assert main(words) == 1, "half is begun"
    assert main([*words, "--task_classes", "bolt"]) == 0
    assert main([*words, "--task_classes", "bolt", "--decode", "--num_workers", "1"]) == 1


def test_a_cache_is_told_and_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "0123456789abcdef" / f"{0:064x}.npy"
    kept.parent.mkdir()
    kept.write_bytes(bytes(100_000))
    words = ["--dir", str(tmp_path)]
    assert main(["cache", "info", *words]) == 0
    assert "0123456789abcdef  ?              1  0.1" in capsys.readouterr().out
    assert main(["cache", "prune", *words, "--max_gb", "0", "--dry_run"]) == 0
    assert capsys.readouterr().out == "would remove 1 file of features, 0.1 MB\n"
    assert kept.exists()
    assert main(["cache", "prune", *words, "--unused_days", "0"]) == 0
    assert capsys.readouterr().out == "removed 1 file of features, 0.1 MB\n"
    assert not kept.exists()


@pytest.mark.parametrize(("words", "expected"), [
    (["data", "chek"], "unknown verb 'data chek', expected one of data check, add-task, "),
    (["check"], "did you mean 'data check'?"),
    (["train", "--data_path", "x"], "unknown verb 'train', expected one of"),
    (["data", "check", "--datset", "visa"], "Unknown argument '--datset'; did you mean '--dataset'?"),
    (["data", "check", "--dataset", "vsa", "--data_path", "."], "did you mean 'visa'?"),
    (["data", "check", "--dataset", "visa"], "'visa' needs --data_path FOLDER (or $MOLEFLOW_DATA/visa)"),
    (["data", "check", "--dataset", "visa", "--data_path", "absent"], "absent of dataset 'visa' does not exist"),
    (["data", "check", "--num_workers", "0"], "--num_workers expects at least 1, found 0."),
    (["data", "check", "--num_workers", "two"], "invalid int value: 'two'."),
    (["data", "check", "--task_classes"], "expected at least one argument."),
    (["cache", "prune"], "cache prune expects --unused_days or --max_gb: what may go."),
    (["cache", "prune", "--max_gb", "-1"], "--max_gb expects at least 0, found -1."),
    (["cache", "prune", "--unused_days", "nan"], "--unused_days expects at least 0, found nan."),
    (["cache", "info", "--dir", "absent"], "There is no folder absent: give that of a feature cache with --dir."),
    (["cache", "inf"], "did you mean 'cache info'?"),
])  # fmt: skip
def test_misuse_ends_with_2_and_one_sentence(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOLEFLOW_DATA", raising=False)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err


def test_an_unknown_class_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    product(tmp_path)
    assert main(["data", "check", "--dataset", "folder", "--data_path", str(tmp_path), "--task_classes", "bolds"]) == 2
    assert "did you mean 'bolt'?" in capsys.readouterr().err


def test_help_lists_the_verbs_and_no_verb_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and verb.help in listed for name, verb in VERBS.items())
    assert main([]) == 2
    assert capsys.readouterr().err == listed


@pytest.mark.parametrize("name", list(VERBS))
def test_every_verb_explains_itself_without_torch(name: str) -> None:
    code = f"import sys, moleflow.__main__ as m\ntry: m.main({[*name.split(), '--help']!r})\nexcept SystemExit as e: "
    code += "print(e.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: python -m moleflow {name}")
    assert done.stdout.endswith("0 False\n")


def test_a_reader_that_stops_early_is_no_traceback(tmp_path: Path) -> None:
    product(tmp_path)
    line = [sys.executable, "-m", "moleflow", "data", "check", "--dataset", "folder", "--data_path", str(tmp_path)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    running = subprocess.Popen(line, cwd=ROOT, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    assert (running.stderr.read(), running.wait(timeout=30)) == ("", 1)
    running.stderr.close()


def test_it_is_started_as_a_module(tmp_path: Path) -> None:
    product(tmp_path)
    line = [sys.executable, "-m", "moleflow", "data", "check", "--dataset", "folder", "--data_path", str(tmp_path)]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert subprocess.run([*line, "--decoed"], cwd=ROOT, capture_output=True, check=False).returncode == 2
