"""Which defects are missed: by their size, and by whether they touch the image's border."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import TITLES, LeftOut, Study, typical
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, label, new_figure, plain

PHASES = ("clean", "none", "full")
SIZES = ("small", "middle", "large")


@dataclass(frozen=True)
class Defects:
    """Defective test images with masks, of one method and phase.

    Attributes:
        area: share of the image, (n,).
        border: whether the mask touches the outer 5 % of the image, (n,).
        found: whether the score is above the threshold, (n,).
    """

    area: np.ndarray
    border: np.ndarray
    found: np.ndarray


def defects_of(study: Study, method: str, severity: str, phase: str) -> Defects | None:
    """Those of all classes; None where there is none."""
    rows = []
    for name in study.classes:
        cell = study.cell(method, severity, phase, name)
        if cell is None:
            continue
        scored = cell.test
        for sample, score in zip(scored.samples, scored.images, strict=True):
            if sample.mask is not None and sample.mask.is_file():
                rows.append((*measured(np.asarray(Image.open(sample.mask)) > 0), score > cell.result["threshold"]))
    if not rows:
        return None
    areas, borders, found = zip(*rows, strict=True)
    return Defects(np.array(areas), np.array(borders, dtype=bool), np.array(found, dtype=bool))


def measured(mask: np.ndarray) -> tuple[float, bool]:
    """Share of the image that is defect, and whether it reaches the outer 5 % of either side."""
    mask = mask if mask.ndim == 2 else np.asarray(mask.any(-1))
    high, wide = (max(1, side // 20) for side in mask.shape)
    return float(mask.mean()), bool(mask.any() and mask.sum() > mask[high:-high, wide:-wide].sum())


def places(study: Study) -> Analysis:
    """Recall by size (thirds of the clean test defects) and by border.

    Raises:
        LeftOut: no masks, or nothing shifted.
    """
    severity = typical(study.shifts)
    found = {
        (method, phase): defects
        for method in study.methods
        for phase in PHASES
        if (defects := defects_of(study, method, severity, phase)) is not None
    }
    if not found:
        raise LeftOut("no defect has a mask")
    rows: list[tuple[Cell, ...]] = []
    for (method, phase), defects in found.items():
        groups = {**by_size(defects), "at the border": defects.border, "inside": ~defects.border}
        rows.append((method, TITLES[phase], *(_recall(defects, mine) for mine in groups.values())))
    columns = ("method", "phase", *(f"{name}, %" for name in (*SIZES, "at the border", "inside")))
    note = f"Recall at the threshold of images with masks; sizes are thirds of all by area; severity {severity}."
    return Analysis(
        "Size and border of defects", [_finding(found)], {"rows": [list(row) for row in rows]}, "",
        [Picture("size_effect", draw(study, found), "Recall by size of the defect.")],
        {"places": Table("Recall by size and place", columns, tuple(rows), note)},
    )  # fmt: skip


def by_size(defects: Defects) -> dict[str, np.ndarray]:
    """Thirds by area, (n,) bool each."""
    low, high = np.quantile(defects.area, [1 / 3, 2 / 3])
    return {
        "small": defects.area <= low,
        "middle": (defects.area > low) & (defects.area <= high),
        "large": defects.area > high,
    }


def _recall(defects: Defects, mine: np.ndarray) -> float | None:
    return 100 * float(defects.found[mine].mean()) if mine.any() else None


def _finding(found: dict[tuple[str, str], Defects]) -> str:
    parts = []
    for (method, phase), defects in found.items():
        if phase == "none":
            thirds = {name: _recall(defects, mine) for name, mine in by_size(defects).items()}
            shown = ", ".join(f"{name} {value:.0f} %" for name, value in thirds.items() if value is not None)
            parts.append(f"{method}: {shown}")
    return f"Recall of shifted defects without adaptation — {'; '.join(parts) or 'not measured'}."


def draw(study: Study, found: dict[tuple[str, str], Defects]) -> Figure:
    """A panel a method, bars by size, clean and shifted."""
    figure = new_figure(0.9 + 2.0 * len(study.methods), 2.5)
    panels = figure.subplots(1, len(study.methods), squeeze=False, sharey=True)[0]
    for axes, method in zip(panels, study.methods, strict=True):
        for shift, phase, colour in ((-0.2, "clean", DARK), (0.2, "none", ACCENT)):
            if (method, phase) in found:
                defects = found[method, phase]
                values = [_recall(defects, mine) or 0.0 for mine in by_size(defects).values()]
                axes.bar(np.arange(3) + shift, values, 0.38, color=colour, label=TITLES[phase])
        axes.set_xticks(range(3), SIZES, fontsize=7)
        axes.set_title(label(method, 20), fontsize=8)
        plain(axes)
    panels[0].set_ylabel("recall, %", fontsize=8)
    panels[0].legend(fontsize=6, frameon=False)
    return figure
