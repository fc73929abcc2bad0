"""Figures of tasks and of pairs of tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.weights.spectra import Array
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, label, new_figure, plain


def draw_norms(norms: Mapping[str, float], distances: Mapping[str, float], first: str) -> Figure:
    """A point a task: the relative size of its deltas by the distance of its prototype from the first task's."""
    figure = new_figure(4.6, 3.0)
    axes = figure.subplots()
    for task, norm in norms.items():
        axes.plot(distances[task], 100 * norm, "o", color=DARK)
        axes.annotate(label(task, 18), (distances[task], 100 * norm), (4, 4), textcoords="offset points", fontsize=8)
    axes.margins(0.2)
    axes.set_xlabel(
        f"distance from the prototype of {label(first, 18)} (Mahalanobis, in standard deviations)", fontsize=8
    )
    axes.set_ylabel("‖B·A‖ / ‖W‖, %", fontsize=9)
    plain(axes)
    return figure


def draw_pairs(observed: Mapping[str, Sequence[float]], axis: str) -> Figure:
    """Histograms over pairs of tasks and layers, one a series: the first is what was found, the others are chance."""
    figure = new_figure(4.8, 2.9)
    axes = figure.subplots()
    everything = np.concatenate([np.asarray(values) for values in observed.values()])
    bins = np.linspace(everything.min(), everything.max() + 1e-9, 31).tolist()
    styles: tuple[dict[str, Any], ...] = (
        {"color": DARK},
        {"color": LIGHT, "hatch": "//", "edgecolor": ACCENT, "alpha": 0.8},
        {"color": "0.75", "hatch": "..", "edgecolor": "0.35", "alpha": 0.6},
    )
    for (name, values), style in zip(observed.items(), styles, strict=False):
        axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), label=name, linewidth=0.8, **style)
    axes.set_xlabel(axis, fontsize=9)
    axes.set_ylabel("share, %", fontsize=9)
    plain(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_table(values: Array, names: Sequence[str], axis: str) -> Figure:
    """A value for each pair of tasks, as a grey map with the numbers in it; the diagonal is left out."""
    side = 1.6 + 0.62 * len(names)
    figure = new_figure(side + 1.0, side)
    axes = figure.subplots()
    shown = np.where(np.eye(len(names), dtype=bool), np.nan, values)
    picture = axes.imshow(shown, cmap="Greys")
    middle = (np.nanmin(shown) + np.nanmax(shown)) / 2
    for row, column in np.argwhere(~np.isnan(shown)):
        ink = "white" if shown[row, column] > middle else "black"
        axes.text(column, row, f"{shown[row, column]:.2g}", ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(range(len(names)), [label(name, 14) for name in names], rotation=40, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), [label(name, 14) for name in names], fontsize=8)
    figure.colorbar(picture, label=axis)
    return figure
