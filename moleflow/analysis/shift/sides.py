"""The side studies, each a table and, where a curve says more, a figure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.forgetting_curve import STYLES
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.figures.canvas import DARK, label, new_figure, plain
from moleflow.utils.io import read_json

Row = Mapping[str, Any]


class Kind(NamedTuple):
    """How a side study is shown.

    Attributes:
        title: of its section.
        columns: key of a row -> title of the column; keys of ``PERCENT`` are fractions.
        varied: the keys that tell settings apart.
        judged: the key that tells which setting is best.
    """

    title: str
    columns: Mapping[str, str]
    varied: Sequence[str]
    judged: str = "image_auroc"


PERCENT = ("image_auroc", "pixel_ap", "pixel_auroc", "aupro", "pixel_f1", "pixel_precision", "pixel_recall", "ratio")
ACCURACY = {"image_auroc": "image AUROC, %", "pixel_ap": "pixel AP, %"}
KINDS = {
    "coreset": Kind("Memory against coreset ratio", {
        "class": "class", "ratio": "ratio, %", "patches": "patches", "bytes": "bytes", "seconds_fit": "fit, s",
        "ms_per_image": "ms/image", **ACCURACY}, ("ratio",)),
    "layers": Kind("Which layers of the backbone matter", {
        "class": "class", "layers": "layers", "dim": "channels", **ACCURACY}, ("layers",)),
    "aggregation": Kind("How patch scores become an image score", {
        "class": "class", "aggregation": "aggregation", "image_auroc": "image AUROC, %"}, ("aggregation",)),
    "projection": Kind("PCA and random projection", {
        "class": "class", "projection": "projection", "dim": "channels", **ACCURACY}, ("projection", "dim")),
    "generalisation": Kind("Fitted under one shift, tested under another", {
        "method": "method", "trained_on": "fitted on", "tested_on": "tested on", "class": "class", **ACCURACY},
        ("trained_on", "tested_on")),
    "regions": Kind("Thresholds by region", {
        "method": "method", "severity": "severity", "class": "class", "regions": "regions a side",
        "pixel_f1": "pixel F1, %", "pixel_precision": "precision, %", "pixel_recall": "recall, %"},
        ("regions",), "pixel_f1"),
    "latency": Kind("Latency", {"part": "part", "ms_per_image": "ms/image", "threads": "threads"}, ("part",),
                    "ms_per_image"),
}  # fmt: skip


def part(name: str) -> Callable[[Study], Analysis]:
    """What makes the section of a side study; it raises LeftOut where that was not made."""
    return lambda study: section(study, name)


def section(study: Study, name: str) -> Analysis:
    """A side study as table and finding."""
    kind, rows = KINDS[name], study.side(name)
    cells = tuple(tuple(shown(row, key) for key in kind.columns) for row in rows)
    drawn = DRAWN.get(name)
    pictures = [Picture(name, drawn(rows), f"{kind.title}.")] if drawn else []
    table = Table(kind.title, tuple(kind.columns.values()), cells)
    return Analysis(
        kind.title, [finding(kind, rows)], {"rows": [dict(row) for row in rows]}, "", pictures, {name: table}
    )


def shown(row: Row, key: str) -> Cell:
    """A cell: fractions in percent."""
    value: Cell = row.get(key)
    return 100 * value if key in PERCENT and isinstance(value, int | float) else value


def finding(kind: Kind, rows: Sequence[Row]) -> str:
    """The settings by their mean over classes."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        value = row.get(kind.judged)
        if value is not None:
            groups.setdefault(" → ".join(str(row[key]) for key in kind.varied), []).append(value)
    factor, unit = (1, "ms/image") if kind.judged == "ms_per_image" else (100, "%")
    means = {name: factor * float(np.mean(values)) for name, values in groups.items()}
    if not means:
        return "Nothing could be measured."
    listed = ", ".join(f"{name} {value:.1f}" for name, value in means.items())
    spread = max(means.values()) - min(means.values())
    small = " All within one point: no effect shown." if unit == "%" and spread < 1 else ""
    return f"{kind.judged.replace('_', ' ')} ({unit}), mean over classes: {listed}.{small}"


def draw_coreset(rows: Sequence[Row]) -> Figure:
    """Accuracy and latency against memory, a line a class."""
    figure = new_figure(6.6, 2.7)
    left, right = figure.subplots(1, 2)
    for name, (colour, dash, mark) in zip(dict.fromkeys(row["class"] for row in rows), STYLES, strict=False):
        mine = sorted((row for row in rows if row["class"] == name), key=lambda row: row["bytes"])
        megabytes = [row["bytes"] / 1e6 for row in mine]
        left.plot(megabytes, [100 * row["image_auroc"] for row in mine], dash, marker=mark, color=colour,
                  label=label(name, 18))  # fmt: skip
        right.plot(megabytes, [row["ms_per_image"] for row in mine], dash, marker=mark, color=colour)
    for axes, title in ((left, "image AUROC, %"), (right, "latency, ms/image")):
        axes.set_xscale("log")
        axes.set_xlabel("memory bank, MB", fontsize=8)
        axes.set_ylabel(title, fontsize=8)
        plain(axes)
    left.legend(fontsize=7, frameon=False)
    return figure


def draw_generalisation(rows: Sequence[Row]) -> Figure:
    """A grey matrix a method: fitted on (rows), tested on (columns)."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    names = list(dict.fromkeys(row["tested_on"] for row in rows))
    figure = new_figure(0.8 + 2.3 * len(methods), 2.6)
    for axes, method in zip(figure.subplots(1, len(methods), squeeze=False)[0], methods, strict=True):
        values = np.array([[_mean(rows, method, first, second) for second in names] for first in names])
        axes.imshow(values, cmap="Greys_r", vmin=50, vmax=100)
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                          color="black" if value > 75 else "white")  # fmt: skip
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=20)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_xlabel("tested on", fontsize=8)
        axes.set_ylabel("fitted on", fontsize=8)
        axes.set_title(f"{label(method, 18)}: image AUROC, %", fontsize=8)
    return figure


def _mean(rows: Sequence[Row], method: str, first: str, second: str) -> float:
    found = [row["image_auroc"] for row in rows
             if (row["method"], row["trained_on"], row["tested_on"]) == (method, first, second)]  # fmt: skip
    return 100 * float(np.mean(found)) if found else np.nan


def draw_latency(rows: Sequence[Row]) -> Figure:
    """A bar a part."""
    figure = new_figure(4.6, 0.7 + 0.35 * len(rows))
    axes = figure.subplots()
    axes.barh(range(len(rows)), [row["ms_per_image"] for row in rows], color=DARK, height=0.6)
    axes.set_yticks(range(len(rows)), [label(str(row["part"]), 24) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds an image", fontsize=8)
    plain(axes)
    return figure


DRAWN: dict[str, Callable[[Sequence[Row]], Figure]] = {
    "coreset": draw_coreset, "generalisation": draw_generalisation, "latency": draw_latency,
}  # fmt: skip


def global_confusion(study: Study) -> Analysis:
    """Which class's training patches the global bank finds nearest.

    Raises:
        LeftOut: it was not measured.
    """
    file = study.out / "side" / "confusion" / "result.json"
    if not file.is_file():
        raise LeftOut("side study confusion was not made")
    content = read_json(file)
    found = content["rows"][0] if "rows" in content else content
    matrix, names = np.array(found["matrix"], dtype=float), list(found["classes"])
    rows = [(name, *(100 * float(value) for value in row)) for name, row in zip(names, matrix, strict=True)]
    own = float(np.diag(matrix).mean())
    figure = new_figure(3.4, 3.0)
    axes = figure.subplots()
    figure.colorbar(axes.imshow(100 * matrix, cmap="Greys", vmin=0, vmax=100), ax=axes, label="share of patches, %")
    axes.set_xticks(range(len(names)), [label(name, 14) for name in names], fontsize=7, rotation=20)
    axes.set_yticks(range(len(names)), [label(name, 14) for name in names], fontsize=7)
    axes.set_xlabel("class of the nearest training patch", fontsize=8)
    axes.set_ylabel("class of the image", fontsize=8)
    table = Table("Share of patches, %", ("image's class", *names), tuple(rows))
    sentence = f"{100 * own:.1f} % of normal test patches find their own class's training patches nearest."
    pictures = [Picture("global_confusion", figure, "Rows: the image's class.")]
    numbers = {"matrix": matrix.tolist()}
    return Analysis("Classes in the global model", [sentence], numbers, "", pictures, {"confusion": table})
