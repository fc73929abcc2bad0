"""The script of the shift study: misuse, and a study from start to end with a peer that needs no anomalib."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from scripts.calling import ROOT, loaded

from moleflow.data.demo import write_demo
from moleflow.study.methods import METHODS
from moleflow.study.sides import SIDES

sys.path.insert(0, str(ROOT / "tests" / "study"))
from fake_peer import CLASSES, MeanMethod

TINY = ["--preset", "demo", "--img_size", "64", "--num_steps", "2", "--num_coupling_layers", "2",
        "--dia_n_blocks", "1", "--embed_dim", "16", "--feature_grid", "4", "--dataset", "folder",
        "--classes", *CLASSES]  # fmt: skip


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    return loaded("run_domain_shift")


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny products."""
    return write_demo(
        tmp_path_factory.mktemp("shift") / "p", classes=CLASSES, train=10, test_good=3, per_defect=2, size=64
    )


def test_help_names_methods_severities_and_side_studies(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as done:
        script.main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert done.value.code == 0
    for name in (*METHODS, *SIDES, "mild", "moderate", "severe"):
        assert name in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "--out"),
        (["--out", "{out}", "--methods", "patchcor"], "did you mean 'patchcore'"),
        (["--out", "{out}", "--severities", "extreme"], "--severities has an unknown 'extreme'"),
        (["--out", "{out}", "--sides", "colour"], "--sides has an unknown 'colour'"),
        (["--out", "{out}", "--classes", "bolt"], "unknown 'bolt'"),
        (["--out", "{out}", "--log_dir", "x"], "--log_dir is for run_moleflow.py"),
        (["--out", "{out}", "--num_step", "3"], "did you mean '--num_steps'"),
        (["--out", "{out}", "--data_path", "nowhere"], "nowhere"),
    ],
)
def test_misuse_exits_2_with_a_sentence_and_leaves_nothing(
    script: ModuleType, products: Path, tmp_path: Path, words: list[str], sentence: str,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    out = tmp_path / "out"
    line = ["--data_path", str(products), *(word.replace("{out}", str(out)) for word in words)]
    assert script.main([*line, "--dataset", "folder"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_peer_without_anomalib_is_refused_before_anything_is_computed(
    script: ModuleType, products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setitem(sys.modules, "anomalib", None)
    line = [*TINY, "--data_path", str(products), "--out", str(tmp_path / "out"), "--methods", "padim"]
    assert script.main(line) == 2
    assert "requirements-baselines.txt" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


SIDES_WITHOUT_ANOMALIB = ["--sides", "latency", "embeddings", "regions"]


@pytest.fixture
def line(products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a study that needs no anomalib."""
    monkeypatch.setitem(METHODS, "mean", MeanMethod)
    return [*TINY, "--data_path", str(products), "--out", str(tmp_path / "out"), *SIDES_WITHOUT_ANOMALIB]


def test_a_study_from_start_to_end_goes_on_and_refuses_another(
    script: ModuleType, line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(script, "write_all", lambda out: [f"figures of {out.name}"])
    assert script.main([*line, "--methods", "mean", "--severities", "mild"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n| mean") == 1 + 4
    assert "figures of out\n" in printed
    study = json.loads((tmp_path / "out" / "study.json").read_text())
    assert (study["classes"], study["severities"], study["methods"]) == (list(CLASSES), ["mild"], ["mean"])
    assert "--severities mild" in study["command"]

    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("result.json")}
    assert len(before) == 2 * 5 + 3
    assert script.main([*line, "--methods", "mean", "--severities", "mild"]) == 0
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("result.json")} == before

    assert script.main([*line, "--methods", "mean", "--seed", "5"]) == 2
    assert "another seed: choose another --out" in capsys.readouterr().err


@pytest.mark.slow
def test_more_methods_and_severities_join_a_study(script: ModuleType, line: list[str], tmp_path: Path):
    out = tmp_path / "out"
    assert script.main([*line, "--methods", "mean", "--severities", "mild"]) == 0
    cells = {file: file.stat().st_mtime_ns for file in (out / "mean").rglob("result.json")}
    more = ["--sides", "generalisation", "attention", "latency"]
    assert script.main([*line, *more, "--methods", "mean", "moleflow-update", "--severities", "mild", "severe"]) == 0
    assert {file: file.stat().st_mtime_ns for file in cells} == cells
    assert json.loads((out / "study.json").read_text())["methods"] == ["mean", "moleflow-update"]
    assert len(list((out / "moleflow-update").rglob("result.json"))) == 2 * (1 + 2 * 4)
    rows = json.loads((out / "side" / "generalisation" / "result.json").read_text())["rows"]
    keys = {(row["method"], row["class"], row["trained_on"], row["tested_on"]) for row in rows}
    assert len(keys) == len(rows) == 2 * 2 * 9
    parts = json.loads((out / "side" / "latency" / "result.json").read_text())["rows"]
    assert [row["part"] for row in parts] == ["backbone", "mean", "moleflow-update"]
    page = (out / "report" / "summary.md").read_text()
    assert "moleflow-update" in page
    assert "## Left out" in page
