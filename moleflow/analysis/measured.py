"""The measured ablation rows: from folders of runs to documents/ablations_measured.json."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from moleflow.analysis.runs import QUANTITIES, RunRow, grouped, read_runs, spreads
from moleflow.config.presets import ABLATIONS
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json

FULL = "full"
"""The group of the runs of the full method."""

SETTING = ("dataset", "task_classes", "backbone_name", "img_size", "num_steps", "lr", "lora_alpha")


def collect(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The content of the measured file, and a sentence on each run that is left out.

    ``setting`` holds the flags of the full method's runs, ``rows`` each row's mean and standard deviation over seeds
    of each of ``QUANTITIES``. Runs that are not finished, or of no row, are left out.

    Raises:
        MoleflowError: there is no run, or none of the full method.
    """
    rows, trouble = read_runs(folder)
    trouble += [f"{row.name}: {row.tasks[0]} of {row.tasks[1]} tasks" for row in rows if not row.finished]
    known = (FULL, *ABLATIONS)
    trouble += [f"{row.name}: {row.group!r} is no row of the table" for row in rows if row.group not in known]
    groups = grouped(row for row in rows if row.finished and row.group in known)
    if FULL not in groups:
        raise MoleflowError(f"no finished run of the full method in {folder}: expected {FULL}-s<seed>")
    return {
        "setting": _setting(folder / groups[FULL][0].name),
        "rows": {name: _entry(groups[name]) for name in known if name in groups},
    }, trouble


def _setting(folder: Path) -> dict[str, Any]:
    flags = read_json(folder / "config.json")["flags"]
    return {name: flags[name] for name in SETTING if name in flags}


def _entry(rows: list[RunRow]) -> dict[str, Any]:
    found = spreads(rows)
    numbers = {name: _rounded(asdict(value)) if value else None for name in QUANTITIES for value in [found[name]]}
    return {"seeds": sorted(row.seed for row in rows if row.seed is not None), **numbers}


def _rounded(spread: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in spread.items()}
