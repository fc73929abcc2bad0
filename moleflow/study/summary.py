"""What the study found, as one table."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from moleflow.analysis.tables import Cell, Table
from moleflow.study.layout import CLEAN, RESULT, cell, phases_of
from moleflow.utils.io import read_json


def summary(out: Path, methods: Sequence[str], severities: Sequence[str], classes: Sequence[str]) -> Table:
    """A row for each method, severity and phase that is done: means over classes, in %."""
    keys = [(name, severity, phase) for name in methods for severity in (CLEAN, *severities)
            for phase in phases_of(severity)]  # fmt: skip
    found = {key: [cell(out, *key, name) / RESULT for name in classes] for key in keys}
    rows = tuple((*key, *_means(files)) for key, files in found.items() if all(file.exists() for file in files))
    columns = ("method", "severity", "phase", "image AUROC", "F1 at threshold", "pixel AP", "clean AUROC after")
    return Table(f"Means over {', '.join(classes)}, in %", columns, rows)


def _means(files: Sequence[Path]) -> list[Cell]:
    results = [read_json(file) for file in files]
    columns = [
        [result["metrics"]["image_auroc"] for result in results],
        [result["at_threshold"]["f1"] for result in results],
        [result["metrics"]["pixel_ap"] for result in results],
        [(result["clean_after"] or {"metrics": {"image_auroc": None}})["metrics"]["image_auroc"] for result in results],
    ]
    known = [[value for value in values if value is not None] for values in columns]
    return [100 * fmean(values) if values else None for values in known]
