"""The course of the losses over the whole stream."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from moleflow.evaluation.report.figures.canvas import DARK, label, new_figure, plain, save

Series = Sequence[tuple[float, Mapping[str, float]]]


def training_curves(tasks: Mapping[str, Series], path: Path) -> None:
    """Write a PNG with one panel a logged value; the tasks follow each other, divided by lines.

    Args:
        tasks: task → [(step, {name: value})], in the order of training. Steps may start anew with each task.
        path: where to write.
    """
    names = list(dict.fromkeys(name for series in tasks.values() for _, values in series for name in values))
    if not names:
        return
    starts, total = _starts(tasks)
    figure = new_figure(min(14.0, 6.0 + 0.4 * len(tasks)), 1.2 + 1.6 * len(names))
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=True):
        plain(axes)
        for task, series in tasks.items():
            _curve(axes, series, name, starts[task])
        for start in list(starts.values())[1:]:
            axes.axvline(start, color="0.6", linewidth=0.7)
        axes.set_ylabel(label(name, 20), fontsize=9)
        axes.set_xlim(0, total)
    _name_tasks(panels[0], starts, total)
    panels[-1].set_xlabel("steps since the start of the stream", fontsize=9)
    save(figure, path)


def _starts(tasks: Mapping[str, Series]) -> tuple[dict[str, float], float]:
    """Where each task begins on the common axis, and where the last one ends."""
    starts, end = {}, 0.0
    for task, series in tasks.items():
        starts[task] = end
        steps = [step for step, _ in series]
        gap = (max(steps) - min(steps)) / max(1, len(steps) - 1) if steps else 0.0
        end += max(steps) - min(steps) + (gap or 1.0) if steps else 1.0
    return starts, end


def _curve(axes: Axes, series: Series, name: str, start: float) -> None:
    points = [(step, values[name]) for step, values in series if name in values]
    if points:
        first = min(step for step, _ in series)
        steps, values = np.array(points, dtype=float).T
        axes.plot(start + steps - first, values, color=DARK, linewidth=1.2, marker="." if len(points) < 3 else "")


def _name_tasks(axes: Axes, starts: Mapping[str, float], total: float) -> None:
    """The tasks' names over the middle of their part, slanted where they are many."""
    ends = [*list(starts.values())[1:], total]
    middles = [(start + end) / 2 for start, end in zip(starts.values(), ends, strict=True)]
    slant: dict[str, Any] = (
        {"rotation": 40, "ha": "left", "rotation_mode": "anchor"} if len(starts) > 5 else {"ha": "center"}
    )
    for middle, task in zip(middles, starts, strict=True):
        axes.text(middle, 1.04, label(task, 20), transform=axes.get_xaxis_transform(), fontsize=8, **slant)
