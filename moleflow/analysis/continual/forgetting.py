"""The task matrix over time under several ways of training a shared base: the collapse and its cures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moleflow.analysis.forgetting_curve import STYLES
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.runs import grouped, read_runs
from moleflow.analysis.tables import Cell, Table, mean_std
from moleflow.config.ablations import ABLATIONS
from moleflow.evaluation.continual import backward_transfer, forgetting
from moleflow.evaluation.report.figures.canvas import grid, label, new_figure, plain
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

METRICS = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}


@dataclass(frozen=True)
class Method:
    """Runs that differ in their seed only.

    Attributes:
        title: what it is called.
        tasks: names of the tasks, in stream order.
        matrices: metric -> task matrices in percent, (seeds, T, T), NaN above the diagonal (oracle route).
        routed: mean image AUROC of each seed after the last task, with the router's choice, in percent.
    """

    title: str
    tasks: tuple[str, ...]
    matrices: Mapping[str, np.ndarray]
    routed: tuple[float, ...]

    def first_task(self, metric: str = "image_auroc") -> np.ndarray:
        """The metric on the first task after each task, (seeds, T)."""
        return self.matrices[metric][:, :, 0]

    def old_tasks(self, metric: str = "image_auroc") -> np.ndarray:
        """Mean of the metric over the tasks before the last one, after each of them, (seeds, T); NaN at the first."""
        matrices = self.matrices[metric]
        means = [np.nanmean(matrices[:, after, :after], axis=1) for after in range(1, matrices.shape[1])]
        return np.stack([np.full(len(matrices), np.nan), *means], axis=1)

    def fm(self, metric: str) -> list[float]:
        """Forgetting of each seed, in points; nothing where the metric does not apply."""
        found = [forgetting(_plain(matrix)) for matrix in self.matrices[metric]]
        return [value for value in found if value is not None]

    def bwt(self, metric: str) -> list[float]:
        """Backward transfer of each seed, in points."""
        found = [backward_transfer(_plain(matrix)) for matrix in self.matrices[metric]]
        return [value for value in found if value is not None]


def read_methods(log_dir: Path, names: Sequence[str] = ()) -> list[Method]:
    """The finished runs of a folder, grouped by their name without the seed.

    Args:
        log_dir: the folder.
        names: groups to take, in this order; none: all, by name.

    Raises:
        UsageError: there is no run, a name is not there, or the runs are of different streams.
        MoleflowError: a run has no task matrix, or is not finished.
    """
    rows, trouble = read_runs(log_dir)
    groups = grouped(rows)
    unknown = [name for name in names if name not in groups]
    if unknown or not groups:
        raise UsageError(f"{log_dir} has no runs called {', '.join(unknown)}; there are: {', '.join(groups) or 'none'}")
    if trouble:
        raise MoleflowError(trouble[0])
    methods = [_method(name, [log_dir / row.name for row in groups[name]]) for name in names or sorted(groups)]
    streams = {method.tasks for method in methods}
    if len(streams) > 1:
        raise UsageError(f"runs of one stream can be compared, found {len(streams)} streams: {sorted(streams)}")
    if len(methods) > len(STYLES):
        raise UsageError(f"at most {len(STYLES)} methods fit one figure, found {len(methods)}: name them")
    return methods


def _method(name: str, runs: Sequence[Path]) -> Method:
    contents = [read_json(run / "results.json") for run in runs]
    try:
        tasks = {tuple("+".join(sorted(task)) for task in content["tasks"]) for content in contents}
        matrices = {
            metric: np.array([_percent(content["matrix"][metric], len(content["tasks"])) for content in contents])
            for metric in METRICS
        }
        routed = tuple(100 * content["final"]["routed"]["image_auroc"] for content in contents)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise MoleflowError(f"the runs {name}-s… have no finished task matrix ({error!r}): finish them") from error
    if len(tasks) > 1:
        raise MoleflowError(f"the runs {name}-s… are of different streams: {sorted(tasks)}")
    row = name.split("-")[-1]
    title = ABLATIONS[row].title if row in ABLATIONS else "experts, frozen base" if row == "full" else row
    return Method(title, next(iter(tasks)), matrices, routed)


def _percent(matrix: Sequence[Sequence[float | None]], tasks: int) -> list[list[float]]:
    if len(matrix) != tasks:
        raise ValueError(f"{len(matrix)} of {tasks} tasks")
    return [[np.nan if value is None else 100 * value for value in row] for row in matrix]


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


def forgetting_analysis(log_dir: Path, names: Sequence[str] = (), command: str = "") -> Analysis:
    """The study of the runs in a folder. Raises what ``read_methods`` raises."""
    methods = read_methods(log_dir, names)
    return Analysis(
        "What old tasks lose while new ones are learned",
        [_finding(methods)],
        {method.title: _numbers(method) for method in methods},
        command,
        [
            Picture("forgetting", draw_curves(methods), "Left: the first task. Right: the mean of all earlier tasks."
                    " Lines are means over seeds, bands their range (oracle route)."),
            Picture("task_matrices", draw_matrices(methods), "Image AUROC in %: after the task of the row, on the task"
                    " of the column; mean over seeds."),
        ],
        {"forgetting": table_of(methods)},
    )  # fmt: skip


def _finding(methods: Sequence[Method]) -> str:
    parts = []
    for method in methods:
        fm, seeds = method.fm("image_auroc"), len(method.routed)
        parts.append(f"{method.title}: FM {mean_std(fm)} points over {seeds} seed{'s' * (seeds > 1)}")
    exact = [method.title for method in methods if not any(method.fm("image_auroc") + method.fm("pixel_ap"))]
    zero = f" Exactly nothing is lost by: {', '.join(exact)}." if exact else " Every method loses something."
    return f"Forgetting of image AUROC, oracle route — {'; '.join(parts)}.{zero}"


def table_of(methods: Sequence[Method]) -> Table:
    """Final accuracy, forgetting and backward transfer of each method."""
    rows: list[tuple[Cell, ...]] = [
        (method.title, len(method.routed), mean_std(list(method.routed)), *_cells(method)) for method in methods
    ]
    titles = [f"{what} {title}" for title in METRICS.values() for what in ("FM", "BWT")]
    note = "Mean ± std over seeds. FM and BWT on the oracle route, points."
    return Table("Forgetting", ("method", "seeds", "routed image AUROC, %", *titles), tuple(rows), note)


def _cells(method: Method) -> list[str]:
    return [mean_std(values(metric)) for metric in METRICS for values in (method.fm, method.bwt)]


def _numbers(method: Method) -> dict[str, Any]:
    matrices = {metric: [_plain(matrix) for matrix in found] for metric, found in method.matrices.items()}
    return {"tasks": list(method.tasks), "routed_image_auroc": list(method.routed), "matrices": matrices}


def draw_curves(methods: Sequence[Method]) -> Figure:
    """The first task, and the mean of earlier tasks, after each task."""
    figure = new_figure(7.4, 3.1)
    left, right = figure.subplots(1, 2, sharey=True)
    for method, style in zip(methods, STYLES, strict=False):
        _curve(left, method.title, method.first_task(), style)
        _curve(right, method.title, method.old_tasks(), style)
    names = methods[0].tasks
    for axes, title in ((left, f"on {label(names[0], 18)}"), (right, "mean of earlier tasks")):
        axes.axhline(50, color="0.7", linewidth=0.8)
        axes.set_xticks(range(len(names)), [label(name, 12) for name in names], fontsize=8, rotation=20)
        axes.set_xlabel("after learning", fontsize=9)
        axes.set_title(title, fontsize=9)
        plain(axes)
    left.set_ylabel("image AUROC, %", fontsize=9)
    right.legend(fontsize=7, frameon=False)
    return figure


def _curve(axes: Axes, title: str, values: np.ndarray, style: tuple[str, str, str]) -> None:
    colour, dash, mark = style
    places = np.arange(values.shape[1])
    axes.plot(places, values.mean(0), dash, color=colour, marker=mark, markersize=4, label=title)
    axes.fill_between(places, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)


def draw_matrices(methods: Sequence[Method]) -> Figure:
    """A grey map a method: rows after which task, columns on which task."""
    columns = min(3, len(methods))
    figure = new_figure(2.4 * columns, 2.4 * -(-len(methods) // columns))
    names = [label(name, 10) for name in methods[0].tasks]
    for axes, method in zip(grid(figure, len(methods), columns), methods, strict=True):
        mean = method.matrices["image_auroc"].mean(0)
        axes.imshow(mean, cmap="Greys_r", vmin=30, vmax=100)
        for (row, column), value in np.ndenumerate(mean):
            if not np.isnan(value):
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                          color="black" if value > 65 else "white")  # fmt: skip
        axes.set_title(label(method.title, 34), fontsize=7)
        axes.set_xticks(range(len(names)), names, fontsize=6, rotation=30)
        axes.set_yticks(range(len(names)), names, fontsize=6)
    return figure
