"""The task matrix as an annotated heat map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps

from moleflow.evaluation.report.figures.canvas import label, new_figure, save
from moleflow.evaluation.report.text import percent

SHADES = colormaps["Blues"]
NARROWEST_RANGE = 0.1  # shades tell apart at least ten points, so that noise does not look like a difference


def task_matrix(matrix: Sequence[Sequence[float | None]], task_names: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG of m[i][j], the metric on task j after task i, in percent; a column of one shade forgot nothing.

    Args:
        matrix: rows after task i, columns task j, fractions; None stays blank.
        task_names: one for each column; rows are labelled by their order.
        title: the metric and the route.
        path: where to write.
    """
    values = _square(matrix, len(task_names))
    rows, columns = values.shape
    cell = 0.52 if columns <= 10 else 0.42
    figure = new_figure(max(3.2, columns * cell + 2.6), max(2.2, rows * cell + 1.9))
    axes = figure.subplots()
    low, high = _range(values)
    axes.imshow(values, cmap=SHADES, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            dark = (value - low) / (high - low) > 0.6
            text: dict[str, Any] = {"color": "white" if dark else "black", "fontsize": 8 if columns <= 10 else 6.5}
            axes.text(column, row, percent(value), ha="center", va="center", **text)
    names = [label(name, 20) for name in task_names]
    axes.set_xticks(range(columns), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(rows), names[:rows], fontsize=8)
    axes.set_xlabel("tested on task", fontsize=9)
    axes.set_ylabel("after learning task", fontsize=9)
    axes.set_title(label(title, 60), fontsize=10)
    axes.spines[:].set_visible(False)
    save(figure, path)


def _square(matrix: Sequence[Sequence[float | None]], columns: int) -> np.ndarray:
    """(rows, columns) float, NaN for None and for what a short row lacks."""
    values = np.full((len(matrix), columns), np.nan)
    for row, cells in enumerate(matrix):
        for column, value in enumerate(cells[:columns]):
            values[row, column] = np.nan if value is None else value
    return values


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value, at least `NARROWEST_RANGE` apart."""
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0, 1.0
    high = float(known.max())
    return min(float(known.min()), high - NARROWEST_RANGE), high
