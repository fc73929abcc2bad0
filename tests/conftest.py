"""Fixtures that every test may use: the real images and weights beside the repository, where they are."""

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tiny models are slower on several threads

gc.disable()  # nothing that imports and collecting make is garbage


def pytest_runtestloop() -> None:
    """Search for garbage from the first test on, but not among what was there before it."""
    gc.freeze()
    gc.enable()


SHARED = Path(os.environ.get("MOLEFLOW_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def existing(path: Path) -> Path:
    """The path, or a skip that names it."""
    if not path.exists():
        pytest.skip(f"needs {path}, which is absent here")
    return path


@pytest.fixture(scope="session")
def realstream() -> Path:
    """Folder of the five real classes."""
    return existing(SHARED / "data" / "realstream")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """ImageNet ResNet-50 v1, stem to layer3."""
    return existing(SHARED / "weights" / "resnet50_v1_in1k_s16_fp16.safetensors")
