"""The routing study as figures, tables and a page."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.forgetting_curve import STYLES
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.routing.observed import Decisions
from moleflow.analysis.routing.simulated import Point
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.figures.canvas import DARK, label, new_figure, plain

NOTE = (
    "A simulated product is one window of a real product's feature grid. Windows of one product are nearer to each "
    "other than products of a factory are, so the curve is a lower bound; with no more products than real ones the "
    "windows come from different products."
)


def routing_analysis(decisions: Decisions, points: Sequence[Point], command: str = "") -> Analysis:
    """What a run's router decided, and what routers would do among more products."""
    return Analysis(
        "Routing: margins, confusion, many products, cost",
        [_observed(decisions), _simulated(points), NOTE],
        {
            "observed": {
                "tasks": list(decisions.tasks),
                "confusion": decisions.confusion.tolist(),
                "accuracy": decisions.accuracy._asdict(),
                "margins": {name: _quantiles(decisions, index) for index, name in enumerate(decisions.tasks)},
            },
            "simulated": [asdict(point) | {"accuracy": point.accuracy._asdict()} for point in points],
        },
        command,
        [
            Picture("margins", draw_margins(decisions), "Distance to the nearest other product over distance to the"
                    " own, every test image; right of 1 it is routed right."),
            Picture("many_products", draw_scaling(points), "Accuracy (bars: 95 % interval) and time to route one image"
                    " against the number of products."),
        ],
        {"confusion": confusion_table(decisions), "margins": margin_table(decisions), "scaling": scaling_table(points)},
    )  # fmt: skip


def _observed(decisions: Decisions) -> str:
    found = decisions.accuracy
    narrowest = decisions.tasks[int(decisions.true[decisions.margins.argmin()])]
    return (
        f"{round(found.value * found.n)} of {found.n} test images go to their product: {100 * found.value:.1f} % "
        f"(95 % interval {100 * found.low:.1f} to {100 * found.high:.1f}). The narrowest margin is "
        f"{decisions.margins.min():.2f} ({narrowest}), the median one {np.median(decisions.margins):.2f}."
    )


def _simulated(points: Sequence[Point]) -> str:
    parts = []
    for name in dict.fromkeys(point.router for point in points):
        last = max((point for point in points if point.router == name), key=lambda point: point.tasks)
        parts.append(
            f"{name} {100 * last.accuracy.value:.1f} % at {last.tasks} products "
            f"({last.milliseconds:.2f} ms an image, {last.megabytes:.1f} MB)"
        )
    return f"Simulated products: {'; '.join(parts)}."


def _quantiles(decisions: Decisions, task: int) -> dict[str, float]:
    mine = decisions.margins[decisions.true == task]
    low, middle = np.quantile(mine, [0.05, 0.5])
    return {"min": float(mine.min()), "q05": float(low), "median": float(middle), "n": len(mine)}


def confusion_table(decisions: Decisions) -> Table:
    """Rows: the image's product; columns: where it was sent."""
    rows: list[tuple[Cell, ...]] = [
        (name, *map(int, row)) for name, row in zip(decisions.tasks, decisions.confusion, strict=True)
    ]
    return Table("Test images of the row's product that were sent to the column's", ("", *decisions.tasks), tuple(rows))


def margin_table(decisions: Decisions) -> Table:
    """How wide margins are, a row a product."""
    rows = []
    for index, name in enumerate(decisions.tasks):
        found = _quantiles(decisions, index)
        rows.append((name, found["n"], found["min"], found["q05"], found["median"]))
    return Table("Margins (above 1: routed right)", ("product", "images", "least", "5 %", "median"), tuple(rows), "", 2)


def scaling_table(points: Sequence[Point]) -> Table:
    """A row for each router and number of products."""
    rows = [
        (point.router, point.tasks, 100 * point.accuracy.value, 100 * point.accuracy.low, 100 * point.accuracy.high,
         point.milliseconds, point.megabytes, point.fit_seconds)
        for point in points
    ]  # fmt: skip
    columns = ("router", "products", "accuracy, %", "low", "high", "ms/image", "MB held", "s to derive")
    return Table("Routing among simulated products", columns, tuple(rows), NOTE, 2)


def draw_margins(decisions: Decisions) -> Figure:
    """A row of points a product."""
    figure = new_figure(5.0, 0.6 + 0.42 * len(decisions.tasks))
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for index in range(len(decisions.tasks)):
        mine = decisions.margins[decisions.true == index]
        axes.scatter(mine, index + rng.uniform(-0.2, 0.2, len(mine)), s=4, color=DARK, alpha=0.5, linewidths=0)
    axes.axvline(1, color="0.4", linewidth=0.9, linestyle="--")
    axes.set_xscale("log")
    axes.set_yticks(range(len(decisions.tasks)), [label(name, 18) for name in decisions.tasks])
    axes.set_xlabel("distance to nearest other / distance to own product", fontsize=9)
    plain(axes)
    return figure


def draw_scaling(points: Sequence[Point]) -> Figure:
    """Accuracy and time against the number of products, a line a router."""
    figure = new_figure(7.2, 2.9)
    left, right = figure.subplots(1, 2)
    for name, (colour, dash, mark) in zip(dict.fromkeys(point.router for point in points), STYLES, strict=False):
        mine = [point for point in points if point.router == name]
        sizes = [point.tasks for point in mine]
        shares = [100 * point.accuracy.value for point in mine]
        errors = [[100 * (point.accuracy.value - point.accuracy.low) for point in mine],
                  [100 * (point.accuracy.high - point.accuracy.value) for point in mine]]  # fmt: skip
        left.errorbar(sizes, shares, errors, fmt=mark, linestyle=dash, color=colour, markersize=4, label=name)
        right.plot(sizes, [point.milliseconds for point in mine], dash, marker=mark, color=colour, markersize=4)
    for axes, title in ((left, "routed right, %"), (right, "time per image, ms")):
        axes.set_xscale("log")
        axes.set_xlabel("products", fontsize=9)
        axes.set_ylabel(title, fontsize=9)
        plain(axes)
    right.set_yscale("log")
    left.legend(fontsize=8, frameon=False)
    return figure
