"""What the tail's weight and size do to accuracy, over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.intervals import mean_interval
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.runs import read_run
from moleflow.analysis.tables import Table, mean_std
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain

METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}
SWEPT = {"tail_weight": "tail weight w", "tail_top_k_ratio": "tail ratio ρ"}

Points = Mapping[float, Sequence[Path]]
"""Value of the flag -> the runs, one a seed, in the same order of seeds."""


def sweep(found: Mapping[str, Points], name: str, command: str = "") -> Analysis:
    """The study of finished runs that differ in one flag and the seed.

    Args:
        found: flag of ``SWEPT`` -> its points.
        name: the product.
    """
    values = {flag: {at: _values(runs) for at, runs in points.items()} for flag, points in found.items()}
    sentences = [_sentence(flag, points, metric) for flag, points in values.items() for metric in METRICS]
    tables = {
        f"sweep_{flag}": Table(
            f"{SWEPT[flag]}: mean ± std over seeds",
            (SWEPT[flag], "seeds", *(f"{title}, %" for title in METRICS.values())),
            tuple((f"{at:g}", len(rows), *(mean_std(_known(rows, metric)) for metric in METRICS))
                  for at, rows in points.items()),
        )
        for flag, points in values.items()
    }  # fmt: skip
    numbers = {flag: {str(at): rows for at, rows in points.items()} for flag, points in values.items()}
    pictures = [Picture("sweep", draw(values), "Points are seeds, lines their mean.")]
    return Analysis(f"Tail weight and ratio: {name}", sentences, numbers, command, pictures, tables)


def _values(runs: Sequence[Path]) -> list[dict[str, float | None]]:
    rows = [read_run(run).values for run in runs]
    return [{metric: None if row[metric] is None else 100 * row[metric] for metric in METRICS} for row in rows]  # type: ignore[operator]


def _known(rows: Sequence[Mapping[str, float | None]], metric: str) -> list[float]:
    return [value for row in rows if (value := row[metric]) is not None]


def _sentence(flag: str, points: Mapping[float, Sequence[Mapping[str, float | None]]], metric: str) -> str:
    means = {at: float(np.mean(_known(rows, metric))) for at, rows in points.items() if _known(rows, metric)}
    if not means:
        return f"{SWEPT[flag]}: {METRICS[metric]} does not apply."
    best, first = max(means, key=lambda at: means[at]), min(means)
    pairs = zip(_known(points[best], metric), _known(points[first], metric), strict=True)
    gain = mean_interval([one - other for one, other in pairs])
    effect = "no effect shown" if gain.says_nothing or best == first else "an effect"
    return (
        f"{SWEPT[flag]}: {METRICS[metric]} is best at {best:g} ({means[best]:.1f} %), {gain.shown()} points above "
        f"{first:g} ({gain.n} seeds): {effect}. The best was picked after looking, so the gain flatters."
    )


def draw(values: Mapping[str, Mapping[float, Sequence[Mapping[str, float | None]]]]) -> Figure:
    """A row a metric, a column a flag."""
    figure = new_figure(3.3 * len(values), 4.4)
    cells = figure.subplots(len(METRICS), len(values), squeeze=False)
    for column, (flag, points) in enumerate(values.items()):
        for row, (metric, title) in enumerate(METRICS.items()):
            axes = cells[row][column]
            known = {at: _known(rows, metric) for at, rows in points.items() if _known(rows, metric)}
            for at, seeds in known.items():
                axes.plot([at] * len(seeds), seeds, "x", color=ACCENT, markersize=4)
            axes.plot(list(known), [np.mean(seeds) for seeds in known.values()], "-o", color=DARK, markersize=4)
            axes.set_xlabel(SWEPT[flag], fontsize=9)
            axes.set_ylabel(f"{title}, %", fontsize=9)
            if flag == "tail_top_k_ratio":
                axes.set_xscale("log")
            plain(axes)
    return figure
