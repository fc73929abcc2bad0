"""What a run ran on: versions, device, the code's revision."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from moleflow.utils.errors import UsageError

PACKAGES = ("torch", "torchvision", "timm", "FrEIA", "numpy", "scipy", "scikit-learn", "safetensors", "pillow")


def git_revision() -> str | None:
    """The commit this code is at, with ``+`` where files differ from it; None outside a repository."""
    here = Path(__file__).resolve().parent
    try:
        sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return sha.stdout.strip() + ("+" if dirty.stdout.strip() else "") if sha.returncode == 0 else None


def installed(package: str) -> str | None:
    """A package's version, None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_environment(device: torch.device) -> dict[str, Any]:
    """What ``env.json`` holds."""
    return {
        "git": git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "packages": {package: installed(package) for package in PACKAGES},
    }


def choose_device(name: str) -> torch.device:
    """The device of a ``--device`` value; ``auto`` takes the GPU where there is one.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device expects auto, cpu, cuda or cuda:N, found {name!r}.") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count()
        raise UsageError(f"--device {name} was asked for, and {count} GPUs are here; use --device cpu.")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device expects auto, cpu, cuda or cuda:N, found {name!r}.")
    return device
