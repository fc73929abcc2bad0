"""How the first task fares while later ones are learned: the collapse of a shared base, and its cure, in one figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, label, new_figure, plain, save
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json

STYLES = (
    (DARK, "-", "o"),
    (ACCENT, "--", "s"),
    (LIGHT, ":", "^"),
    ("0.5", "-.", "D"),
    ("#15803d", "-", "v"),
    ("#7e22ce", "--", "x"),
)
"""Colour, dashes and mark of each line: apart in grey, too."""


def first_task_curve(run: Path, metric: str = "image_auroc") -> tuple[list[str], list[float]]:
    """Names of a run's tasks, and the metric on the first one after each of them (oracle route), fractions.

    Raises:
        MoleflowError: the run has no such matrix.
    """
    results = read_json(run / "results.json")
    try:
        names = ["+".join(sorted(task)) for task in results["tasks"]]
        return names, [row[0] for row in results["matrix"][metric]]
    except (KeyError, IndexError, TypeError) as error:
        raise MoleflowError(f"{run / 'results.json'} should hold the task matrix of {metric!r}; found none.") from error


def draw_forgetting(runs: Mapping[str, Path], path: Path, metric: str = "image_auroc") -> dict[str, list[float]]:
    """Write a PNG with a line for each run: the metric on the first task after each task.

    Args:
        runs: what a line is called -> the run's folder; all of one stream, four at most.
        path: where to write.
        metric: a key of the task matrix.

    Returns:
        The values of each line, fractions.
    """
    curves = {title: first_task_curve(folder, metric) for title, folder in runs.items()}
    names = next(iter(curves.values()))[0]
    figure = new_figure(4.6, 2.9)
    axes = figure.subplots()
    for (title, (_, values)), style in zip(curves.items(), STYLES, strict=False):
        _line(axes, title, values, style)
    axes.axhline(50, color="0.7", linewidth=0.8)
    axes.set_xticks(range(len(names)), [label(name, 18) for name in names], fontsize=8)
    axes.set_xlabel("after learning", fontsize=9)
    axes.set_ylabel(f"image AUROC on {label(names[0], 18)}, %", fontsize=9)
    plain(axes)
    axes.legend(fontsize=8, frameon=False)
    save(figure, path)
    return {title: values for title, (_, values) in curves.items()}


def _line(axes: Axes, title: str, values: Sequence[float], style: tuple[str, str, str]) -> None:
    colour, dash, mark = style
    axes.plot(range(len(values)), [100 * value for value in values], dash, color=colour, marker=mark, label=title)
