"""Imports point one way."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RANKS = {
    "utils": 0, "config": 1, "data": 2, "extractors": 3, "models": 4, "losses": 5,
    "trainer": 6, "evaluation": 6, "baselines": 7, "analysis": 7, "run": 8, "registry": 9,
    "study": 10, "experiments": 10, "__main__": 11,
}  # fmt: skip
"""Package -> height; a module may import from its own package and from lower ones."""
FILES = sorted((ROOT / "moleflow").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Second-level names of the moleflow packages a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("moleflow.")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file):
    own = file.relative_to(ROOT / "moleflow").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for package in imported(file):
        assert package == own or RANKS[package] < RANKS[own], f"{file} imports moleflow.{package}"


def test_the_test_can_see_imports():
    assert {"config", "data", "models"} <= imported(ROOT / "moleflow" / "run.py")


def test_config_reaches_only_the_builders_and_those_who_run_them():
    """Modules take flat arguments."""
    allowed = {"losses/build.py", "run.py", "trainer/continual_trainer.py", "trainer/regularizers/build.py"}
    allowed |= {"extractors/stream_data.py", "evaluation/report/write.py"}
    users = {
        file.relative_to(ROOT / "moleflow").as_posix()
        for file in FILES
        if re.search(
            r"^from moleflow.config.(ablation|run) import|^from moleflow.config import", file.read_text(), re.M
        )
    }
    others = {place for place in users if not place.startswith(("config/", "models/build/"))}
    assert others <= allowed


LIGHT = ("moleflow.config.cli", "moleflow.registry.verbs", "moleflow.__main__", "moleflow.data.check",
         "moleflow.data.download", "moleflow.data.synthetic.inner", "moleflow.analysis.index.page",
         "moleflow.analysis.summary", "moleflow.analysis.measured", "moleflow.analysis.ablation_table",
         "moleflow.analysis.forgetting_curve", "moleflow.analysis.exploration")  # fmt: skip
"""What commands start with that need no tensor."""


NO_BACKBONE = ("moleflow.registry.stored_run", "moleflow.registry.ledger", "moleflow.analysis.choices", "moleflow.run")
"""What reads runs; it may build a backbone later."""


def test_commands_do_not_wait_for_libraries_that_they_may_not_need():
    """torch takes two seconds to import on a slow machine, timm with torchvision another two or three."""
    asked = [*((name, "torch") for name in LIGHT), *((name, "timm") for name in NO_BACKBONE)]
    lines = [f"import {name}; print({name!r}, {library!r} in sys.modules)" for name, library in asked]
    words = [sys.executable, "-c", "\n".join(["import sys", *lines])]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [word for name, _ in asked for word in (name, "False")]
