"""The measured ablation rows as one table of a report."""

from collections.abc import Mapping
from typing import Any

from moleflow.analysis.measured import FULL
from moleflow.analysis.tables import Cell, Table
from moleflow.config.ablations import ABLATIONS
from moleflow.evaluation.report.text import MISSING

COLUMNS = {"image_auroc": "image AUROC, %", "pixel_ap": "pixel AP, %", "fm": "FM, points"}


def measured_table(measured: Mapping[str, Any]) -> Table:
    """A row an ablation: mean ± std over seeds, and the change to the full method in points.

    Args:
        measured: the content of documents/ablations_measured.json.
    """
    rows, full = measured["rows"], measured["rows"][FULL]
    cells: list[tuple[Cell, ...]] = []
    for name, row in rows.items():
        title = ABLATIONS[name].title if name in ABLATIONS else "the full method"
        change = None if name == FULL else _points(row["image_auroc"]) - _points(full["image_auroc"])
        cells.append((name, title, len(row["seeds"]), *(_shown(row[key]) for key in COLUMNS), change))
    columns = ("row", "what", "seeds", *COLUMNS.values(), "image AUROC against full")
    setting = ", ".join(f"{key} {value}" for key, value in measured["setting"].items())
    return Table("Measured ablations", columns, tuple(cells), f"Routed; FM on the oracle route. {setting}")


def _points(found: Mapping[str, float]) -> float:
    return 100 * found["mean"]


def _shown(found: Mapping[str, float | None] | None) -> str:
    if found is None or found["mean"] is None:
        return MISSING
    spread = "" if found["std"] is None else f" ± {100 * found['std']:z.1f}"
    return f"{100 * found['mean']:z.1f}{spread}"
