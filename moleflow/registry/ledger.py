"""``ledger``: what each task of a run costs and how well it does."""

from collections.abc import Sequence
from typing import Any

from moleflow.evaluation.continual import mean_known
from moleflow.registry.stored_run import StoredRun
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import as_written

COLUMNS = ("task", "bytes", "seconds", "image AUROC", "sha256")


def ledger(run: StoredRun) -> dict[str, Any]:
    """One row for the base and for each task: bytes on disk, seconds of training, image AUROC, hash.

    Returns:
        ``run``, ``base`` (bytes, sha256), ``tasks`` (rows; None: not known), ``stale`` (why the accuracies are of
        another state of the run; None: they are not).
    """
    manifest = run.folder.manifest
    cost, results = (_content(run, name) for name in ("cost.json", "results.json"))
    rows = []
    for entry in manifest["tasks"]:
        rows.append(
            {
                "task": entry["name"],
                "classes": entry["classes"],
                "bytes": entry["bytes"],
                "seconds": _seconds(run, cost, entry["name"]),
                "image_auroc": _accuracy(run, results, entry["classes"]),
                "sha256": entry["sha256"],
            }
        )
    base = {key: manifest["base"][key] for key in ("bytes", "sha256")} if manifest["base"] else None
    return {"run": str(run.path), "base": base, "tasks": rows, "stale": results.get("stale")}


def _seconds(run: StoredRun, cost: dict[str, Any], task: str) -> float | None:
    """Seconds of a task's training; None: not known."""
    with as_written(run.path / "cost.json"):
        return _number(cost.get("seconds_per_task", {}).get(task))


def _accuracy(run: StoredRun, results: dict[str, Any], classes: Sequence[str]) -> float | None:
    """Mean image AUROC of a task's classes; None: not known."""
    with as_written(run.path / "results.json"):
        rows = results.get("per_class", {})
        return mean_known(_number(rows.get(name, {}).get("image_auroc")) for name in classes)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float | None):
        raise TypeError(f"{type(value).__name__} instead of a number")
    return None if value is None else float(value)


def as_table(content: dict[str, Any]) -> str:
    """The ledger for people."""
    base = content["base"]
    cells = [COLUMNS]
    if base:
        cells.append(("(base)", f"{base['bytes']:,}", "", "", base["sha256"][:12]))
    for row in content["tasks"]:
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
        accuracy = "" if row["image_auroc"] is None else f"{100 * row['image_auroc']:.1f}"
        cells.append((row["task"], f"{row['bytes']:,}", seconds, accuracy, row["sha256"][:12]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    if content["stale"]:
        lines.append(f"accuracies are of before: {content['stale']}; `evaluate` takes them again")
    return "\n".join(lines)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    first, *middle, last = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in middle), last[0]]
    return "  ".join(cells)


def _content(run: StoredRun, name: str) -> dict[str, Any]:
    file = run.path / name
    content = run.folder.sums.read_json(name) if file.exists() else {}
    if not isinstance(content, dict):
        raise MoleflowError(f"{file} is damaged: expected a JSON object, found {type(content).__name__}.")
    return content
