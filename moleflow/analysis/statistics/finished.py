"""Finished runs as statistics need them: everything from their folders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from moleflow.analysis.runs import RunRow, read_run, read_runs
from moleflow.evaluation.kept import FOLDER, read_scores
from moleflow.evaluation.statistics.counted import COUNTS, Counted, counts_file
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

ROUTES = {"routed": "", "oracle": "oracle"}
"""Route -> the block of a class's row in results.json that holds it; empty: the row itself."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: where it lies.
        row: its name, its name without the seed, its seed.
        results: the content of results.json.
        record: what was run.
    """

    folder: Path
    row: RunRow
    results: dict[str, Any]
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.row.name

    @property
    def has_scores(self) -> bool:
        """Whether patch scores, or their counts, were kept for every class."""
        kept = [*(self.folder / FOLDER).glob("*.npz")] or [*(self.folder / COUNTS).glob("*.npz")]
        return len(kept) == len(self.results["per_class"])

    @cached_property
    def tested(self) -> dict[str, Counted]:
        """Class -> its test images on the routed way, in stream order.

        Raises:
            MoleflowError: no scores were kept, or they are damaged.
        """
        if (self.folder / COUNTS).is_dir():
            return {name: Counted.load(counts_file(self.folder, name)) for name in self.results["per_class"]}
        kept = read_scores(self.folder)
        missing = [name for name in self.results["per_class"] if name not in kept]
        if missing:
            raise MoleflowError(
                f"expected kept scores of {', '.join(missing)} in {self.folder / FOLDER}, found none: "
                f"`python -m moleflow evaluate --run {self.folder}` takes them"
            )
        return {name: Counted.of(kept[name], "routed") for name in self.results["per_class"]}


def read_finished(places: Sequence[Path]) -> tuple[list[FinishedRun], list[str]]:
    """The finished runs in folders, each a run or a folder of runs, and a sentence on each that is left out.

    Raises:
        UsageError: a folder is missing or holds no run, or no run is finished.
    """
    runs: dict[Path, FinishedRun] = {}
    trouble: list[str] = []
    for place in places:
        rows, unread = read_runs(place)
        trouble += unread
        for row in rows:
            folder = place if (place / "results.json").exists() else place / row.name
            run = _read(folder, row)
            if reason := _unfit(run):
                trouble.append(f"{row.name}: {reason}")
            else:
                runs[folder.resolve()] = run
    if not runs:
        raise UsageError(f"expected finished runs in {', '.join(map(str, places))}, found none: {'; '.join(trouble)}")
    _refuse_namesakes(runs)
    return list(runs.values()), trouble


def finished_run(folder: Path, name: str) -> FinishedRun:
    """The finished run in a folder, under a name of the caller's.

    Raises:
        UsageError: it is not finished, or its results are of before.
        MoleflowError: it cannot be read.
    """
    run = _read(folder, replace(read_run(folder), name=name))
    if reason := _unfit(run):
        raise UsageError(f"{name}: {reason}")
    return run


def _unfit(run: FinishedRun) -> str | None:
    done, planned = run.row.tasks
    if not run.row.finished:
        return f"{done} of {planned} tasks"
    return f"its results are of before: {run.results['stale']}" if "stale" in run.results else None


def _refuse_namesakes(runs: Mapping[Path, FinishedRun]) -> None:
    names = [run.name for run in runs.values()]
    for name in names:
        if names.count(name) > 1:
            places = ", ".join(str(place) for place, run in runs.items() if run.name == name)
            raise UsageError(f"expected runs of different names, found {name!r} in {places}: rename one, or give one")


def by_group(runs: Iterable[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Name without seed -> the runs that share it."""
    groups: dict[str, list[FinishedRun]] = {}
    for run in runs:
        groups.setdefault(run.row.group, []).append(run)
    return groups


def _read(folder: Path, row: RunRow) -> FinishedRun:
    results = read_json(folder / "results.json")
    return FinishedRun(folder, row, results, results.get("run") or _older_record(folder, results))


def _older_record(folder: Path, results: dict[str, Any]) -> dict[str, Any]:
    """What older runs say of themselves in config.json alone."""
    file = folder / "config.json"
    flags = read_json(file).get("flags", {}) if file.exists() else {}
    return {
        "dataset": flags.get("dataset"),
        "scenario": flags.get("cl_scenario"),
        "order": flags.get("task_order"),
        "classes": [name for task in results["tasks"] for name in task],
        "seed": flags.get("seed"),
        "backbone": flags.get("backbone_name"),
    }
