"""Finished runs on three tiny products, trained once a session, and verbs called in this process."""

import atexit
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from moleflow.__main__ import main as verbs
from moleflow.data.demo import write_demo
from run_moleflow import main as train

CLASSES = ("fabric", "washer", "biscuit")
QUICK = [
    *("--preset", "demo", "--img_size", "64", "--num_steps", "2", "--batch_size", "8", "--no_figures"),
    *("--num_coupling_layers", "2", "--dia_n_blocks", "1", "--embed_dim", "32", "--feature_grid", "4"),
    *("--no_tensorboard", "--experiment_name", "run", "--no_resume", "--dataset", "folder"),
]


@cache
def shelf() -> Path:
    """A folder for everything of the session."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, True)
    write_demo(folder / "products", classes=CLASSES, train=10, test_good=3, per_defect=1, size=64)
    return folder


def words_for(log_dir: Path, *words: str, data: Path | None = None) -> list[str]:
    """A command line."""
    places = ["--log_dir", str(log_dir), "--data_path", str(data or shelf() / "products")]
    return [*QUICK, *places, "--feature_cache", str(shelf() / "cache"), *words]


def trained(log_dir: Path, *words: str) -> int:
    """Train in this process."""
    before = sys.argv
    sys.argv = ["run_moleflow.py", *words_for(log_dir, *words)]
    try:
        return train()
    finally:
        sys.argv = before


def original(*classes: str, words: Sequence[str] = ()) -> Path:
    """A finished run; only to be copied."""
    return _original(classes, tuple(words))


@cache
def _original(classes: tuple[str, ...], words: tuple[str, ...]) -> Path:
    log_dir = shelf() / "-".join([*classes, *words])
    assert trained(log_dir, "--task_classes", *classes, *words) == 0
    return log_dir / "run"


def fresh(tmp_path: Path, *classes: str, words: Sequence[str] = (), name: str = "logs") -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(original(*(classes or CLASSES), words=words), tmp_path / name / "run"))


def verb(name: str, run: Path, *words: object) -> int:
    """Call a verb."""
    return verbs([name, "--run", str(run), *map(str, words)])


def digests(run: Path, *patterns: str) -> dict[str, str]:
    """Hash of each file that matches."""
    files = [file for pattern in patterns or ("*.safetensors", "*/*.safetensors") for file in run.glob(pattern)]
    return {str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def promised(run: Path) -> dict[str, str]:
    """Hashes of all whose bytes a run promises."""
    return digests(run, "*.safetensors", "*/*.safetensors", "stream.json", "results.*", "evaluations/*", "scores/*")
