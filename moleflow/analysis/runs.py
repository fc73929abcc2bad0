"""Finished runs as rows of numbers, and their mean and spread over seeds."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

QUANTITIES = ("image_auroc", "pixel_ap", "routing_accuracy", "fm", "params_per_task", "seconds_per_task")


@dataclass(frozen=True)
class RunRow:
    """What a table says of one run.

    Attributes:
        name: the run's folder.
        group: the name without its seed: runs of one group differ in their seed only.
        seed: of the run; None where its configuration does not say.
        tasks: how many tasks were evaluated, and how many the stream has.
        values: each of ``QUANTITIES``, None where it was not measured. Fractions in 0..1, routed; ``fm`` is the
            forgetting of image AUROC on the oracle route; parameters and training seconds are means over tasks.
    """

    name: str
    group: str
    seed: int | None
    tasks: tuple[int, int]
    values: dict[str, float | None]

    @property
    def finished(self) -> bool:
        """Whether every task of the stream was evaluated."""
        return self.tasks[0] == self.tasks[1]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None of one value) over n values."""

    mean: float
    std: float | None
    n: int


def read_run(folder: Path) -> RunRow:
    """The row of a run.

    Raises:
        MoleflowError: results.json is missing or damaged, or of another form.
    """
    results = read_json(folder / "results.json")
    cost = read_json(folder / "cost.json") if (folder / "cost.json").exists() else {}
    try:
        seed = _seed_of(folder)
        planned, evaluated = len(results["tasks"]), len(results["matrix"]["image_auroc"])
        return RunRow(folder.name, group_of(folder.name, seed), seed, (evaluated, planned), _values(results, cost))
    except (KeyError, TypeError, AttributeError) as error:
        raise MoleflowError(
            f"{folder / 'results.json'} is not of the form this version reads ({error!r}): evaluate the run again"
        ) from error


def group_of(name: str, seed: int | None) -> str:
    """A run's name without ``-s<seed>`` or ``-seed<seed>`` at its end."""
    return re.sub(rf"[-_]s(?:eed)?{seed}$", "", name) if seed is not None else name


def read_runs(folder: Path) -> tuple[list[RunRow], list[str]]:
    """The runs in a folder, sorted by group and seed, and a sentence on each that cannot be read.

    A run is a subfolder with a config.json or a results.json (or the folder itself, if it is one).

    Raises:
        UsageError: the folder is missing or holds no run.
    """
    if not folder.is_dir():
        raise UsageError(f"expected a folder of runs, found none at {folder}")
    places = [place for place in (folder, *sorted(folder.iterdir())) if _is_run(place)]
    if not places:
        raise UsageError(
            f"no run in {folder}: expected subfolders with a config.json; is it the --log_dir of the runs?"
        )
    rows, trouble = [], []
    for place in places:
        try:
            rows.append(read_run(place))
        except MoleflowError as error:
            trouble.append(f"{place.name}: {error}")
    return sorted(rows, key=lambda row: (row.group, row.seed or 0, row.name)), trouble


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and standard deviation of the values that are there; None of none."""
    known = [value for value in values if value is not None]
    return Spread(mean(known), stdev(known) if len(known) > 1 else None, len(known)) if known else None


def spreads(rows: Sequence[RunRow]) -> dict[str, Spread | None]:
    """The spread of each of ``QUANTITIES`` over runs."""
    return {quantity: spread(row.values[quantity] for row in rows) for quantity in QUANTITIES}


def grouped(rows: Iterable[RunRow]) -> dict[str, list[RunRow]]:
    """The runs of each group."""
    groups: dict[str, list[RunRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def _is_run(place: Path) -> bool:
    return any((place / name).exists() for name in ("config.json", "results.json"))


def _seed_of(folder: Path) -> int | None:
    if not (folder / "config.json").exists():
        return None
    seed: int = read_json(folder / "config.json")["flags"]["seed"]
    return seed


def _values(results: dict[str, Any], cost: dict[str, Any]) -> dict[str, float | None]:
    final = results["final"]
    return {
        "image_auroc": final["routed"]["image_auroc"],
        "pixel_ap": final["routed"]["pixel_ap"],
        "routing_accuracy": final["routing_accuracy"],
        "fm": results["continual"]["fm"]["image_auroc"],
        "params_per_task": _mean_over_tasks(cost, "params_per_task"),
        "seconds_per_task": _mean_over_tasks(cost, "seconds_per_task"),
    }


def _mean_over_tasks(cost: dict[str, Any], name: str) -> float | None:
    by_task = cost.get(name) or {}
    return mean(by_task.values()) if by_task else None
