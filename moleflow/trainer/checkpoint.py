"""A run on disk. A task exists once its line is in ``stream.json``; files are complete before they are listed.

What a later task changes (a base that goes on learning, what its protector keeps) is written beside the old file,
listed, then renamed over it: whenever the run is killed, the file that the manifest names is there under either name.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, load_expert, tell_experts_changed
from moleflow.trainer.links import refuse_outside
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import TEMPORARY, read_json, read_tensors, sha256_of, write_tensors
from moleflow.utils.sums import NEXT, Sums, beside
from moleflow.utils.text import shown

SCHEMA = 1
BASE, PROTECTOR = "base.safetensors", "protector.safetensors"
LONGEST_NAME = 250
"""Bytes of a file's name that a task may need: file systems take 255, and endings are added to it."""


class RunFolder:
    """The folder of one run: configuration, base, experts, manifest.

    Attributes:
        sums: lists the hashes of all its lasting files that are no tensors; they are written through it.

    Args:
        path: the folder; it exists.
    """

    def __init__(self, path: Path):
        self.path = path
        self.sums = Sums(path)

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
            found = repr(manifest.get("schema")) if isinstance(manifest, dict) else "none"
            raise MoleflowError(
                f"{file} should be a manifest of format {SCHEMA}, found {found}; update moleflow to read a newer one, "
                "or restore it from a copy."
            )
        _refuse_malformed(file, manifest)
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

    def stored_task(self, name: str) -> Task:
        """A finished task as it was learned: its place in the stream then, which parts may depend on."""
        place, entry = next(
            (place, entry) for place, entry in enumerate(self.manifest["tasks"]) if entry["name"] == name
        )
        return Task(tuple(entry["classes"]), entry.get("index", place))

    def save_task(
        self,
        model: MoLEFlow,
        task: Task,
        dtype: torch.dtype,
        seed: int,
        protector: Mapping[str, Tensor] | None = None,
        probe: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the task's expert, the base (where it is new or still learns) and what a protector keeps; list them.

        A finished task of that name is replaced, in its place. ``probe`` is what ``take_probe`` gave.
        """
        manifest = self.manifest
        base = base_state(model)
        if manifest["base"] is None or self._base_moved(base):
            manifest["base"] = self._replacement(BASE, base)
        if protector:
            manifest["protector"] = self._replacement(PROTECTOR, protector)
        state = expert_state(model, task.name)
        stored = {name: value.to(dtype) if value.dtype == torch.float32 else value for name, value in state.items()}
        self.list_expert(manifest, task, stored, seed, probe)

    def list_expert(
        self,
        manifest: dict[str, Any],
        task: Task,
        state: Mapping[str, Tensor],
        seed: int,
        probe: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write an expert's tensors and its probe, then the manifest with the task's entry, in its place or at the end.

        Raises:
            UsageError: the task's name is too long for a file's.
        """
        name = file_name(task)
        entry = {"name": task.name, "classes": list(task.classes), "index": task.index, "seed": seed}
        entry |= self._replacement(f"experts/{name}", state)
        if probe:
            metadata = {"base_sha256": manifest["base"]["sha256"]}
            entry["probe"] = self._replacement(f"probes/{name}", probe, metadata)
        places = {old["name"]: place for place, old in enumerate(manifest["tasks"])}
        place = places.get(task.name, len(places))
        manifest["tasks"][place : place + 1] = [entry]
        self._commit(manifest)

    def drop_task(self, name: str) -> None:
        """Take a task off the manifest, then remove its files; one that is off it already may still have some."""
        manifest = self.manifest
        for place, entry in enumerate(manifest["tasks"]):
            entry.setdefault("index", place)  # as it was learned, whatever its place will be
        files = {listed["file"] for entry in manifest["tasks"] if entry["name"] == name for listed in _files_of(entry)}
        manifest["tasks"] = [entry for entry in manifest["tasks"] if entry["name"] != name]
        self._commit(manifest)
        own = file_name(Task((name,), 0))
        for file in files | {f"experts/{own}", f"probes/{own}"}:
            refuse_outside(self.path, self.path / file)
            (self.path / file).unlink(missing_ok=True)
            beside(self.path / file).unlink(missing_ok=True)

    def files(self) -> Iterator[dict[str, Any]]:
        """What the manifest says of each file: name, hash, size."""
        manifest = self.manifest
        for entry in (manifest["base"], manifest.get("protector"), *manifest["tasks"]):
            yield from _files_of(entry or {})

    def load_base(self, model: MoLEFlow) -> None:
        """Fill the shared part of the model.

        Raises:
            MoleflowError: the file is missing, differs from its hash or does not fit.
        """
        fill_base(model, read_tensors(self.verified(self.manifest["base"])), str(self.path))

    def load_protector(self) -> dict[str, Tensor]:
        """What a protector kept; empty where it keeps nothing.

        Raises:
            MoleflowError: the file is missing or differs from its hash.
        """
        entry = self.manifest.get("protector")
        state = read_tensors(self.verified(entry)) if entry else {}
        return {name: tensor.clone() for name, tensor in state.items()}  # in memory of its own: sums see its alignment

    def load_task(self, model: MoLEFlow, task: Task) -> None:
        """Fill the task's expert, which the model has begun.

        Raises:
            MoleflowError: the file is missing, differs from its hash or does not fit.
        """
        load_expert(model, task.name, self.expert(task.name))

    def holds(self, task: str) -> bool:
        """Whether the task is finished, so that its expert can be read."""
        return task in self.finished

    def expert(self, task: str) -> dict[str, Tensor]:
        """The tensors of a finished task's expert.

        Raises:
            MoleflowError: the file is missing or differs from its hash.
        """
        entry = next(entry for entry in self.manifest["tasks"] if entry["name"] == task)
        return read_tensors(self.verified(entry))

    def _base_moved(self, base: dict[str, Tensor]) -> bool:
        old = read_tensors(self.path / BASE)
        return any(not torch.equal(old[name], value.cpu()) for name, value in base.items())

    def _replacement(
        self, file: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Write what will be ``file`` once the manifest says so, and give its entry."""
        self.settle()  # what waits there from before a kill may be listed
        waiting = beside(self.path / file)
        refuse_outside(self.path, waiting.parent)
        write_tensors(waiting, tensors, metadata)
        return {"file": file, "sha256": sha256_of(waiting), "bytes": waiting.stat().st_size}

    def _commit(self, manifest: dict[str, Any]) -> None:
        self.sums.write_json("stream.json", manifest)
        self.settle()

    def settle(self) -> None:
        """Give every listed file that still waits, after a kill, its name; only who may write the folder does this."""
        self.sums.settle()
        for listed in self.files():
            waiting = beside(self.path / listed["file"])
            if waiting.exists() and sha256_of(waiting) == listed["sha256"]:
                waiting.replace(self.path / listed["file"])

    def tidy(self) -> None:
        """After a kill: settle, then remove what was never listed or never finished; only who may write does this."""
        self.settle()
        for left in [*self.path.rglob(TEMPORARY), *self.path.rglob(f"*{NEXT}")]:
            left.unlink(missing_ok=True)

    def verified(self, entry: dict[str, Any]) -> Path:
        """The file of a manifest's entry, complete and unchanged.

        Raises:
            MoleflowError: it is missing, differs from its hash, or is a link that leads out of the run's folder.
        """
        file = self.path / entry["file"]
        refuse_outside(self.path, file)
        waiting = beside(file)
        if waiting.exists() and sha256_of(waiting) == entry["sha256"]:
            return waiting
        way_out = "restore it, or train again with --overwrite."
        if not file.exists():
            raise MoleflowError(f"{file} is listed in stream.json and missing; {way_out}")
        if sha256_of(file) != entry["sha256"]:
            raise MoleflowError(f"{file} differs from its hash in stream.json; {way_out}")
        return file


def file_name(task: Task) -> str:
    """The name of a task's files, which no class can lead elsewhere with.

    Raises:
        UsageError: it is too long for a file's name, or holds what cannot be shown.
    """
    if not task.name.isprintable():
        raise UsageError(
            f"The task '{shown(task.name)}' has characters in its name that cannot be shown: rename the class's folder."
        )
    name = quote(task.name, safe="+") + ".safetensors"
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"The task {task.name[:40]!r}… needs a file name of {len(name)} bytes, and {LONGEST_NAME} are allowed: "
            "learn fewer classes a task, or give them shorter names."
        )
    return name


def _files_of(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "file" in entry:
        yield {key: entry[key] for key in ("file", "sha256", "bytes")}
    if "probe" in entry:
        yield entry["probe"]


def _refuse_malformed(file: Path, manifest: dict[str, Any]) -> None:
    """Refuse a manifest whose entries are not what this class writes, or lead out of the run's folder."""
    try:
        listed = [entry for entry in (manifest["base"], manifest.get("protector")) if entry is not None]
        sound = all(map(_is_listed, listed)) and all(map(_is_task, manifest["tasks"]))
        names = [entry["name"] for entry in manifest["tasks"]]
    except (KeyError, TypeError, AttributeError):
        sound, names = False, []
    if not sound or len(set(names)) < len(names):
        raise MoleflowError(f"{file} is damaged: an entry is not as moleflow writes it; restore it from a copy.")


def _is_task(entry: dict[str, Any]) -> bool:
    """Whether an entry names its classes, its seed, and files of the run."""
    classes, index, probe = entry["classes"], entry.get("index", 0), entry.get("probe")
    named = isinstance(classes, list) and bool(classes) and all(isinstance(name, str) for name in classes)
    counted = isinstance(index, int) and isinstance(entry["seed"], int)
    return (
        named
        and counted
        and entry["name"] == Task(tuple(classes), index).name
        and _is_listed(entry)
        and (probe is None or _is_listed(probe))
    )


def _is_listed(entry: dict[str, Any]) -> bool:
    """Whether an entry says where a file in the run's folder lies, its hash and its size."""
    place = PurePosixPath(entry["file"])
    inside = not place.is_absolute() and ".." not in place.parts and place.suffix == ".safetensors"
    plain = entry["file"].isascii() and entry["file"].isprintable() and len(entry["file"]) < LONGEST_NAME + 20
    return inside and plain and isinstance(entry["sha256"], str) and isinstance(entry["bytes"], int)


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
