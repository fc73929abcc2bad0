"""A miniature of the demo stream, and finished runs on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow.data.demo import write_demo
from run_moleflow import main

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("fabric", "washer", "biscuit")
QUICK = [
    *("--preset", "demo", "--img_size", "96", "--num_steps", "12", "--batch_size", "8", "--no_figures"),
    *("--no_tensorboard", "--experiment_name", "run", "--no_resume"),
]
"""The demo's method, small enough for a test."""

Result = tuple[int, str]


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generated products with few images."""
    return write_demo(
        tmp_path_factory.mktemp("products") / "demo", classes=CLASSES, train=14, test_good=5, per_defect=2, size=128
    )


@pytest.fixture
def copy(products: Path, tmp_path: Path) -> Path:
    """A copy of the products that a test may break."""
    return Path(shutil.copytree(products, tmp_path / "products"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One feature cache for all runs of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(products: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command line in this process: (log folder, further words) -> (exit code, what it printed)."""

    def call(log_dir: Path, *words: str, data: Path = products) -> Result:
        before = sys.argv
        sys.argv = ["run_moleflow.py", *QUICK, *command(log_dir, data, cache), *words]
        try:
            code = main()
        finally:
            sys.argv = before
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out + err

    return call


def command(log_dir: Path, data: Path, cache: Path) -> list[str]:
    """The words that say where things are."""
    return ["--log_dir", str(log_dir), "--dataset", "folder", "--data_path", str(data), "--feature_cache", str(cache)]


@pytest.fixture
def started(products: Path, cache: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line as a process of its own."""

    def start(log_dir: Path, *words: str) -> subprocess.Popen[str]:
        line = [sys.executable, str(ROOT / "run_moleflow.py"), *QUICK, *command(log_dir, products, cache), *words]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))

    return start


def promised_bytes(run_folder: Path) -> dict[str, bytes]:
    """The files whose bytes a run promises."""
    names = ["base.safetensors", "stream.json", "results.json", "results.csv"]
    files = [run_folder / name for name in names] + sorted((run_folder / "experts").iterdir())
    return {str(file.relative_to(run_folder)): file.read_bytes() for file in files}
