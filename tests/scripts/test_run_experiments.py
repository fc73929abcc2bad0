"""The script of experiments, and the one that makes the table of peers."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from scripts.calling import ROOT, loaded

from moleflow.baselines.base import FEATURES
from moleflow.baselines.registry import PEERS, options_of
from moleflow.experiments.conditions import read_experiments

ENTRIES = ("{name: a, config: {model_type: vae, side: 64}}", "{name: b, config: {model_type: ewc}}")
FILE = "\n  - ".join(["experiment_conditions:", *ENTRIES])


@pytest.fixture
def script() -> ModuleType:
    """The script as a module."""
    return loaded("run_experiments")


def call(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """What the command line would exit with."""
    monkeypatch.setattr(sys, "argv", ["run_experiments.py", *words])
    return script.guarded(script.main)


def test_a_file_can_be_checked_without_data(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "f.yaml").write_text(FILE)
    assert call(script, monkeypatch, "--config", str(tmp_path / "f.yaml"), "--check", "--out", str(tmp_path / "o")) == 0
    assert capsys.readouterr().out == "a: vae {'side': 64}\nb: ewc\n"
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "words", "sentence"),
    [
        (FILE, ["--only", "c"], "--only has an unknown 'c', expected some of a, b"),
        (FILE, ["--data_path", "nowhere"], "folder nowhere of dataset 'folder' does not exist"),
        (FILE, ["--backbon_name", "x"], "--backbon_name"),
        (FILE.replace("vae", "vaa"), [], "line 2: unknown model_type 'vaa'"),
    ],
)
def test_misuse_exits_2_with_a_sentence_and_leaves_nothing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    text: str, words: list[str], sentence: str,
):  # fmt: skip
    (tmp_path / "f.yaml").write_text(text)
    out = tmp_path / "out"
    assert call(script, monkeypatch, "--config", str(tmp_path / "f.yaml"), "--out", str(out), *words) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_flags_of_the_command_line_win_over_the_file(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "f.yaml").write_text(FILE.replace("side: 64", "side: 64, seed: 1"))
    found = []
    monkeypatch.setattr(script, "read_experiments", lambda *a: found.extend(read_experiments(*a)) or found)
    words = ["--seed", "0", "--max_train_images", "5", "--task_classes", "x", "y", "--feature_cache", "c", "--check"]
    assert call(script, monkeypatch, "--config", str(tmp_path / "f.yaml"), *words) == 0
    for run in (one.resolved.run for one in found):
        assert (run.training.seed, run.data.max_train_images, run.features.feature_cache) == (0, 5, "c")
        assert run.stream.task_classes == ("x", "y")


def test_the_table_runs_without_a_backbone_what_looks_at_none_once():
    """peers.sh names those whose rows do not depend on the backbone."""
    text = (ROOT / "scripts" / "peers.sh").read_text()
    listed = set(re.search(r'OWN_NETWORKS="(.*)"', text)[1].split())  # type: ignore[index]
    models = {one.name: one.model for one in read_experiments(ROOT / "scripts" / "peers.yaml")}
    peers = {name: PEERS[model] for name, model in models.items() if model in PEERS}
    blind = {name for name, peer in peers.items() if getattr(peer.make, "sees", FEATURES) != FEATURES}
    assert listed == {name for name in blind if "backbone" not in options_of(models[name])}


def test_the_table_needs_data_and_weights():
    quiet = {"PATH": os.environ["PATH"], "DATA_PATH": "x"}
    done = subprocess.run(["bash", str(ROOT / "scripts" / "peers.sh")], env=quiet, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: give the weights of resnet50_v1")
