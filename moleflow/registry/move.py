"""``export-task`` and ``import-task``: an expert travels between runs that share a base, as one file of plain data.

The file is in safetensors format: tensors ``expert.…`` and ``probe.…``, and ``moleflow``, a JSON object, as metadata.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.models.task import expert_state, load_expert
from moleflow.registry.journal import begun, noted
from moleflow.registry.results import mark_stale, take_again
from moleflow.registry.stored_run import StoredRun
from moleflow.trainer.checkpoint import file_name
from moleflow.trainer.probe import TOLERANCE, largest_difference
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_metadata, read_tensors, write_tensors

FORMAT = "moleflow-expert"
VERSION = 1
EXPERT, PROBE = "expert.", "probe."
LARGEST = 2**30
"""Bytes of a file that is looked into; an expert takes a few millions."""


class Parcel(NamedTuple):
    """An exported expert.

    Attributes:
        task: the task as it was learned.
        seed: of its training.
        base: SHA-256 of the base that the expert builds on.
        config: what ``config_hash`` gave.
        expert, probe: tensors.
    """

    task: Task
    seed: int
    base: str
    config: str
    expert: dict[str, Tensor]
    probe: dict[str, Tensor]


def config_hash(run: StoredRun) -> str:
    """SHA-256 of what an expert depends on beside the base: the method, the features, the size and type of numbers."""
    resolved = run.resolved
    features = resolved.run.features
    method = {
        "ablation": resolved.to_json()["ablation"],
        "features": [features.backbone_name, features.random_backbone, features.embed_dim, features.feature_grid],
        "images": [resolved.run.data.img_size, resolved.run.data.resize],
        "dtype": resolved.run.training.expert_dtype,
    }
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()


def export_task(run: StoredRun, name: str, file: Path) -> None:
    """Write a task's expert as one file; where that very expert is there already, it stays.

    Raises:
        UsageError: there is no such task, or another file is there.
        MoleflowError: the expert is damaged, or the file cannot be written.
    """
    entry = run.entry(name)
    task = run.folder.stored_task(name)
    tensors = {EXPERT + key: value for key, value in read_tensors(run.folder.verified(entry)).items()}
    if "probe" in entry:
        probe = run.folder.verified(entry["probe"])
        if read_metadata(probe).get("base_sha256") == run.folder.manifest["base"]["sha256"]:
            tensors |= {PROBE + key: value for key, value in read_tensors(probe).items()}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "base_sha256": run.folder.manifest["base"]["sha256"],
        "config_sha256": config_hash(run),
        "classes": list(task.classes),
        "index": task.index,
        "seed": entry["seed"],
    }
    if file.exists():
        _refuse_other(file, tensors, content)
    else:
        write_tensors(file, tensors, {"moleflow": json.dumps(content)})
    print(f"exported {name} to {file}: {file.stat().st_size:,} bytes")


def _refuse_other(file: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Refuse a file that is not what would be written there; an export that is repeated finds its own."""
    try:
        plain = file.is_file() and not file.is_symlink()  # a pipe would be waited for
        told, held = (json.loads(read_metadata(file).get("moleflow", "{}")), read_tensors(file)) if plain else ({}, {})
        same = told == content and held.keys() == tensors.keys()
        same = same and all(torch.equal(held[name], value) for name, value in tensors.items())
    except (MoleflowError, RecursionError, ValueError):
        same = False
    if not same:
        raise UsageError(f"{file} is there already; name another file with --to.")


def import_task(run: StoredRun, file: Path, evaluate: bool = True, data_path: str | None = None) -> None:
    """Take an exported expert into a run; the other experts and the base stay as they are.

    Killed anywhere, the same command goes on.

    Args:
        run: a run that is being written.
        file: what ``export_task`` wrote; it is read as data and never trusted.
        evaluate: whether to take the results again.
        data_path: where the images of its classes are; None: where the run's other images are.

    Raises:
        UsageError: the file is of another base or configuration, or the run is not finished or knows its classes.
        MoleflowError: the file is damaged, or the expert does not say what it said where it was trained.
    """
    parcel = read_parcel(file)
    run.require_finished(but=parcel.task.classes)
    _refuse_foreign(run, parcel, file)
    taken = begun(run.path) == ("import-task", parcel.task.name) and parcel.task.name in run.folder.finished
    if not taken:
        run.refuse_known(parcel.task.classes)
    file_name(parcel.task)  # refuses names that no file can have
    _refuse_broken(run, parcel, file)
    new = Task(parcel.task.classes, len(run.tasks))
    tasks = run.tasks if taken else [*run.tasks, new]
    with noted(run.path, "import-task", new.name):
        if not taken:
            mark_stale(run, new.index, f"import-task {new.name}")
        run.write_places(new.classes, data_path)
        run.write_stream(tasks)
        run.folder.list_expert(run.folder.manifest, parcel.task, parcel.expert, parcel.seed, parcel.probe)
        print(f"imported {new.name} from {file}")
        if evaluate:
            take_again(run, tasks, run.places, None)


def read_parcel(file: Path) -> Parcel:
    """An exported expert, with every field looked at.

    Raises:
        UsageError: it is no exported expert, or a newer one.
        MoleflowError: it cannot be read.
    """
    _refuse_no_file(file)
    text = read_metadata(file).get("moleflow", "{}")
    tensors = read_tensors(file)
    try:
        content = json.loads(text)
        known = content.get("format") == FORMAT
        if known and content["version"] > VERSION:
            raise UsageError(
                f"{file} is of format {content['version']}, newer than {VERSION}; update moleflow to read it."
            )
        task, seed = Task(tuple(content["classes"]), content["index"]), content["seed"]
        hashes = [content["base_sha256"], content["config_sha256"]]
        sound = known and isinstance(task.index, int) and isinstance(seed, int) and all(map(_is_text, hashes))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"{file} is not an expert that export-task wrote; give one.") from error
    if not sound or not task.classes or not all(map(is_plain_name, task.classes)):
        raise UsageError(f"{file} is not an expert that export-task wrote, or names classes that no folder can have.")
    parts = [_below(prefix, tensors) for prefix in (EXPERT, PROBE)]
    return Parcel(task, seed, hashes[0], hashes[1], *parts)


def _refuse_no_file(file: Path) -> None:
    """Refuse what may never end, before it is opened: pipes, devices, files of any size."""
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is no file but a folder, a pipe or a device; give what export-task wrote.")
    if file.exists() and file.stat().st_size > LARGEST:
        raise UsageError(f"{file} has {file.stat().st_size:,} bytes, and an expert has at most {LARGEST:,}.")


def is_plain_name(name: Any) -> bool:
    """Whether a class's name is one that a folder could have: no separator, nothing that cannot be shown."""
    return isinstance(name, str) and name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _refuse_foreign(run: StoredRun, parcel: Parcel, file: Path) -> None:
    base, config = run.folder.manifest["base"]["sha256"], config_hash(run)
    if parcel.base != base:
        raise UsageError(
            f"{file} builds on the base {parcel.base}, and the run in {run.path} has {base}; "
            "an expert moves only between runs of one base (--base_from shares one)."
        )
    if parcel.config != config:
        raise UsageError(
            f"{file} was made by the configuration {parcel.config}, and the run in {run.path} has {config}; "
            "an expert moves only between runs of one method and backbone."
        )


def _refuse_broken(run: StoredRun, parcel: Parcel, file: Path) -> None:
    """Refuse an expert that does not fit the model, or scores its probe differently than where it was trained."""
    model = run.model()
    model.begin_task(parcel.task, run.resolved.run.training.seed)
    load_expert(model, parcel.task.name, parcel.expert)
    _refuse_other_kinds(expert_state(model, parcel.task.name), run, parcel, file)
    difference = largest_difference(model, parcel.task.name, parcel.probe) if parcel.probe else 0.0
    if not difference <= TOLERANCE:
        raise MoleflowError(f"{file} is damaged: its expert scores its probe differently than where it was trained.")


def _refuse_other_kinds(own: dict[str, Tensor], run: StoredRun, parcel: Parcel, file: Path) -> None:
    """Refuse tensors that no part of the model has, or of another type of numbers than such a run stores."""
    stored = getattr(torch, run.resolved.run.training.expert_dtype)
    for name, value in sorted(parcel.expert.items()):
        if name not in own:
            raise MoleflowError(f"{file} does not fit this model: it has no {name}.")
        expected = stored if own[name].dtype == torch.float32 else own[name].dtype
        if value.dtype != expected:
            raise MoleflowError(f"{file} does not fit this model: {name} should be {expected}, found {value.dtype}.")
