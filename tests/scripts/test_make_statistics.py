"""make_statistics.py: from run folders to tables, and what it refuses."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "analysis" / "statistics")]

from make_statistics import main  # noqa: E402
from scored_runs import write_scored_run  # noqa: E402

from moleflow.utils.ending import exit_code  # noqa: E402
from moleflow.utils.io import read_json  # noqa: E402

TABLES = ("seeds", "continual", "intervals", "defect_types", "defect_sizes", "comparison")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        write_scored_run(tmp_path / "logs", f"weak-s{seed}", seed, gain=0.6)
    write_scored_run(tmp_path / "logs", "strong-s0", 0, gain=2.5)
    return tmp_path / "logs"


def test_every_table_is_written_in_three_forms(logs, tmp_path, capsys):
    pair = [str(logs / "weak-s0"), str(logs / "strong-s0")]
    words = [str(logs), "--out", str(tmp_path / "out"), "--resamples", "60", "--compare", *pair]
    assert main(words) == 0
    assert "3 runs" in capsys.readouterr().out
    for name in TABLES:
        for form in ("md", "csv", "tex"):
            assert (tmp_path / "out" / f"{name}.{form}").stat().st_size > 100
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "3 runs of 2 settings." in page
    assert "strong-s0 against weak-s0, mean over classes: +" in page
    assert "--resamples 60" in page
    rows = list(csv.DictReader((tmp_path / "out" / "comparison.csv").open()))
    assert float(rows[0]["B − A"]) == pytest.approx(float(rows[0]["B"]) - float(rows[0]["A"]))
    numbers = read_json(tmp_path / "out" / "analysis_results.json")
    assert set(numbers["intervals"]) == {"weak-s0", "weak-s1", "strong-s0"}
    assert numbers["comparison"]["rows"][0]["p"] is not None
    once = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert main(words) == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == once


def test_runs_without_scores_are_in_the_tables_that_need_none(logs, tmp_path):
    for run in logs.iterdir():
        for file in (run / "scores").iterdir():
            file.unlink()
    assert main([str(logs), "--out", str(tmp_path / "out")]) == 0
    assert {file.stem for file in (tmp_path / "out").glob("*.csv")} == {"seeds", "continual"}
    assert "Without kept scores" in (tmp_path / "out" / "summary.md").read_text()


def test_damaged_scores_are_a_failure(logs, tmp_path, capsys):
    (logs / "weak-s0" / "scores" / "nut.npz").write_bytes(b"nonsense")
    assert exit_code(lambda: main([str(logs), "--out", str(tmp_path / "out"), "--resamples", "9"])) == 1
    assert "holds no scores of a class that can be read" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [
    ([], "required"),
    (["absent", "--out", "out"], "expected a folder of runs, found none at absent"),
    (["{logs}", "--out", "out", "--resamples", "0"], "from 1 up"),
    (["{logs}", "--out", "out", "--compare", "{logs}/weak-s0", "{logs}/weak-s0"], "takes two finished runs, found 1"),
])  # fmt: skip
def test_misuse(words, said, logs, capsys):
    try:
        code = exit_code(lambda: main([word.format(logs=logs) for word in words]))
    except SystemExit as stopped:  # how argparse complains
        code = stopped.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_help_comes_at_once_from_anywhere(tmp_path):
    line = [sys.executable, "-X", "importtime", str(ROOT / "scripts" / "make_statistics.py"), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert "--compare A B" in done.stdout
    assert "torch" not in done.stderr
