"""A run on disk. A task exists once its line is in ``stream.json``; files are complete before they are listed.

What a later task changes (a base that goes on learning, what its protector keeps) is written beside the old file,
listed, then renamed over it: whenever the run is killed, the file that the manifest names is there under either name.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, load_expert, tell_experts_changed
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, read_tensors, sha256_of, write_json, write_tensors

SCHEMA = 1
BASE, PROTECTOR = "base.safetensors", "protector.safetensors"


class RunFolder:
    """The folder of one run: configuration, base, experts, manifest.

    Args:
        path: the folder; it exists.
    """

    def __init__(self, path: Path):
        self.path = path

    @property
    def manifest(self) -> dict[str, Any]:
        """``stream.json``: finished tasks in order, with the hash and size of each file.

        Raises:
            MoleflowError: it is broken, or of a newer format.
        """
        file = self.path / "stream.json"
        if not file.exists():
            return {"schema": SCHEMA, "base": None, "tasks": []}
        manifest = read_json(file)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise MoleflowError(f"{file} should be a manifest of format {SCHEMA}; update moleflow to read a newer one.")
        return manifest

    @property
    def finished(self) -> list[str]:
        """Names of the finished tasks, in stream order."""
        return [entry["name"] for entry in self.manifest["tasks"]]

    def save_base(self, model: MoLEFlow) -> None:
        """Write a base that was trained before the stream, and list it."""
        manifest = self.manifest
        manifest["base"] = self._replacement(BASE, base_state(model))
        self._commit(manifest)

    def save_task(
        self, model: MoLEFlow, task: Task, dtype: torch.dtype, seed: int, protector: Mapping[str, Tensor] | None = None
    ) -> None:
        """Write the task's expert, the base (where it is new or still learns) and what a protector keeps; list them."""
        manifest = self.manifest
        base = base_state(model)
        if manifest["base"] is None or self._base_moved(base):
            manifest["base"] = self._replacement(BASE, base)
        if protector:
            manifest["protector"] = self._replacement(PROTECTOR, protector)
        file = f"experts/{quote(task.name, safe='+')}.safetensors"
        (self.path / "experts").mkdir(exist_ok=True)
        state = expert_state(model, task.name)
        stored = {name: value.to(dtype) if value.dtype == torch.float32 else value for name, value in state.items()}
        write_tensors(self.path / file, stored)
        entry = {"name": task.name, "classes": list(task.classes), "seed": seed, **self._entry(file)}
        manifest["tasks"].append(entry)
        self._commit(manifest)

    def load_base(self, model: MoLEFlow) -> None:
        """Fill the shared part of the model.

        Raises:
            MoleflowError: the file is missing, differs from its hash or does not fit.
        """
        fill_base(model, read_tensors(self._verified(self.manifest["base"])), str(self.path))

    def load_protector(self) -> dict[str, Tensor]:
        """What a protector kept; empty where it keeps nothing.

        Raises:
            MoleflowError: the file is missing or differs from its hash.
        """
        entry = self.manifest.get("protector")
        state = read_tensors(self._verified(entry)) if entry else {}
        return {name: tensor.clone() for name, tensor in state.items()}  # in memory of its own: sums see its alignment

    def load_task(self, model: MoLEFlow, task: Task) -> None:
        """Fill the task's expert, which the model has begun.

        Raises:
            MoleflowError: the file is missing, differs from its hash or does not fit.
        """
        entry = next(entry for entry in self.manifest["tasks"] if entry["name"] == task.name)
        state = read_tensors(self._verified(entry))
        load_expert(model, task.name, state)

    def _base_moved(self, base: dict[str, Tensor]) -> bool:
        old = read_tensors(self.path / BASE)
        return any(not torch.equal(old[name], value.cpu()) for name, value in base.items())

    def _replacement(self, file: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """Write what will be ``file`` once the manifest says so, and give its entry."""
        waiting = _beside(self.path / file)
        write_tensors(waiting, tensors)
        return {"file": file, "sha256": sha256_of(waiting), "bytes": waiting.stat().st_size}

    def _commit(self, manifest: dict[str, Any]) -> None:
        write_json(self.path / "stream.json", manifest)
        for file in (BASE, PROTECTOR):
            if _beside(self.path / file).exists():
                _beside(self.path / file).replace(self.path / file)

    def _entry(self, file: str) -> dict[str, Any]:
        path = self.path / file
        return {"file": file, "sha256": sha256_of(path), "bytes": path.stat().st_size}

    def _verified(self, entry: dict[str, Any]) -> Path:
        file = self.path / entry["file"]
        waiting = _beside(file)
        if waiting.exists() and sha256_of(waiting) == entry["sha256"]:
            waiting.replace(file)
        way_out = "restore it, or train again with --overwrite."
        if not file.exists():
            raise MoleflowError(f"{file} is listed in stream.json and missing; {way_out}")
        if sha256_of(file) != entry["sha256"]:
            raise MoleflowError(f"{file} differs from its hash in stream.json; {way_out}")
        return file


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".next")


def fill_base(model: MoLEFlow, state: dict[str, Tensor], source: str) -> None:
    """Fill the shared part of the model.

    Args:
        model: the model.
        state: what ``base_state`` gave.
        source: where it was read, for the message.

    Raises:
        MoleflowError: it is of another model.
    """
    own = base_state(model)
    unfit = sorted(
        name for name in {*own, *state} if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if unfit:
        raise MoleflowError(f"The base in {source} does not fit this model: {unfit[0]} differs.")
    model.load_state_dict(state, strict=False)
    tell_experts_changed(model)


def open_run(path: Path, config: dict[str, Any], resume: bool, overwrite: bool) -> RunFolder:
    """Create, continue or replace the folder of a run, and save its configuration.

    Args:
        path: the folder.
        config: the resolved configuration, as ``Resolved.to_json`` gives it.
        resume: whether to continue a run that is there.
        overwrite: whether to replace it.

    Raises:
        UsageError: there is a run and neither was asked for, its configuration differs, or it cannot be written.
    """
    if (path / "config.json").exists():
        if overwrite:
            shutil.rmtree(path)
        elif resume:
            _refuse_other_config(path, config)
        else:
            raise UsageError(
                f"There is a run in {path}; continue it with --resume, replace it with --overwrite, "
                "or choose another --experiment_name."
            )
    elif path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty and holds no run (no config.json); choose another --experiment_name.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", config)
    except (OSError, MoleflowError) as error:
        raise UsageError(f"The run folder {path} cannot be written ({error}); give a --log_dir that can.") from error
    return RunFolder(path)


def check_writable(folder: Path) -> None:
    """Make the folder of runs if it is not there.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"The folder of runs {folder} cannot be written ({error.strerror}); give a --log_dir that can."
        ) from error


FREE_TO_CHANGE = {
    "resume", "overwrite", "stop_after", "log_dir", "experiment_name", "tensorboard", "figures", "device",
    "run_diagnostics", "num_workers", "feature_cache", "use_feature_cache", "data_path", "backbone_weights",
}  # fmt: skip
"""Flags that a resumed run may change: they say where and how, not what."""


def _refuse_other_config(path: Path, config: dict[str, Any]) -> None:
    old, new = read_json(path / "config.json")["flags"], config["flags"]
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    differing = [
        flag for flag in {**old, **new} if flag not in FREE_TO_CHANGE and plain(old.get(flag)) != plain(new.get(flag))
    ]
    if differing:
        changes = ", ".join(f"--{flag} was {old.get(flag)!r}, is {new.get(flag)!r}" for flag in differing[:5])
        raise UsageError(
            f"--resume found another configuration in {path}: {changes}; use the old one, or another --experiment_name."
        )
