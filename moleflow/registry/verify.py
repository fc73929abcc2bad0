"""``verify``: whether a run still is what it was."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moleflow.models.mole_nf import MoLEFlow
from moleflow.registry.journal import JOURNAL
from moleflow.registry.stored_run import StoredRun
from moleflow.trainer.probe import TOLERANCE, largest_difference
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json, read_metadata, read_tensors
from moleflow.utils.sums import SUMS


def verify(run: StoredRun) -> Iterator[str]:
    """Hash every file that ``stream.json`` or ``SHA256SUMS`` lists, load every expert, score its probe again.

    Yields:
        A sentence for each thing that differs, which names the file. Experts are looked at one by one: one that is
        broken says nothing about the others.
    """
    problems = [*run.folder.sums.problems(), *_unreadable(run), *_lost_manifest(run)]
    broken = {file: str(error) for file, error in _damaged(run)}
    yield from [*problems, *broken.values()]
    try:
        model = run.model()
    except MoleflowError as error:
        if str(error) not in broken.values():
            yield f"Experts could not be loaded: {error}"
        return
    for entry in run.folder.manifest["tasks"]:
        if entry["file"] not in broken:
            yield from _says_something_else(run, model, entry, set(broken))


def notes(run: StoredRun) -> Iterator[str]:
    """What is no fault, in words: files that nothing lists."""
    yield from (f"{name} is not listed in stream.json and has no effect" for name in _without_effect(run))
    if not (run.path / SUMS).exists():
        yield f"there is no {SUMS}, as in runs of older versions: only base, experts and probes could be hashed"
    elif others := [file.relative_to(run.path).as_posix() for file in _unhashed(run)]:
        yield f"{', '.join(others)}: not listed in {SUMS}, so only read, not hashed"


def _without_effect(run: StoredRun) -> list[str]:
    """Experts and probes in the folder that the manifest does not name: left by a kill."""
    listed = {entry["file"] for entry in run.folder.files()}
    found = [file for kind in ("experts", "probes") for file in sorted((run.path / kind).glob("*"))]
    return [name for name in (file.relative_to(run.path).as_posix() for file in found) if name not in listed]


def _damaged(run: StoredRun) -> Iterator[tuple[str, MoleflowError]]:
    for entry in run.folder.files():
        try:
            run.folder.verified(entry)
        except MoleflowError as error:
            yield entry["file"], error


def _unhashed(run: StoredRun) -> list[Path]:
    """Results and settings that no hash is known of."""
    try:
        listed = run.folder.sums.listed
    except MoleflowError:  # told as a problem
        listed = {}
    found = [file for pattern in ("*.json", "*.csv", "evaluations/*.json") for file in sorted(run.path.glob(pattern))]
    return [file for file in found if file.relative_to(run.path).as_posix() not in listed and file.name != JOURNAL]


def _unreadable(run: StoredRun) -> Iterator[str]:
    """What is not hashed and should be JSON."""
    for file in _unhashed(run):
        try:
            if file.suffix == ".json":
                read_json(file)
        except MoleflowError as error:
            yield str(error)


def _lost_manifest(run: StoredRun) -> Iterator[str]:
    told = (run.path / "stream.json").exists() or (run.path / SUMS).exists()  # the list names it
    if not told and any((run.path / "experts").glob("*.safetensors")):
        yield f"{run.path / 'stream.json'} is missing, and without it no expert counts: restore it from a copy."


def _says_something_else(run: StoredRun, model: MoLEFlow, entry: dict[str, Any], broken: set[str]) -> Iterator[str]:
    name, probe = entry["name"], entry.get("probe")
    try:
        run.load(model, name)
        if probe is None or probe["file"] in broken:
            return
        file = run.folder.verified(probe)
        if read_metadata(file).get("base_sha256") != run.folder.manifest["base"]["sha256"]:
            return  # the base has learned since: other scores are as they should be
        difference = largest_difference(model, name, read_tensors(file))
    except MoleflowError as error:
        yield f"{run.path / entry['file']}: {error}"
        return
    if not difference <= TOLERANCE:
        yield (
            f"{run.path / entry['file']} scores its probe differently than when it was trained "
            f"(by {difference:.1g} of the largest score, {TOLERANCE:g} is allowed): other versions or another machine?"
        )
