"""Errors at the threshold: confusion matrices, and which defect types are missed."""

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import TITLES, Study, typical
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.figures.canvas import label, new_figure

SHOWN = ("clean", "none", "threshold", "full")


def confusion(study: Study) -> Analysis:
    """A matrix a method and phase, summed over classes, and a row a defect type. Raises LeftOut without a shift."""
    severity = typical(study.shifts)
    rows = defect_rows(study, severity)
    columns = ("method", "class", "defect", "images", *(f"{TITLES[phase]}, %" for phase in SHOWN))
    note = "Share of the images that are called defective: recall for defects, false alarms for good. Severity "
    picture = Picture("confusion", draw(study, severity), f"Images by truth (rows) and decision (columns), {severity}.")
    return Analysis(
        "Confusion at the threshold", [_finding(study, severity)], {"severity": severity}, "", [picture],
        {"by_defect": Table("Called defective, by type", columns, tuple(rows), f"{note}{severity}.")},
    )  # fmt: skip


def counts(study: Study, method: str, severity: str, phase: str) -> np.ndarray | None:
    """[[tn, fp], [fn, tp]] over classes; None where a class is missing."""
    cells = [study.cell(method, severity, phase, name) for name in study.classes]
    if None in cells:
        return None
    found = [cell.result["at_threshold"] for cell in cells if cell is not None]
    return np.array([[sum(one[key] for one in found) for key in row] for row in (("tn", "fp"), ("fn", "tp"))])


def defect_rows(study: Study, severity: str) -> list[tuple[Cell, ...]]:
    """Share called defective of each defect type in each phase."""
    rows: list[tuple[Cell, ...]] = []
    for method in study.methods:
        for name in study.classes:
            shares = [called(study, method, severity, phase, name) for phase in SHOWN]
            types = sorted({defect for share in shares for defect in share})
            for defect in types:
                images = max(share[defect][1] for share in shares if defect in share)
                values = [share[defect][0] if defect in share else None for share in shares]
                rows.append((method, name, defect, images, *values))
    return rows


def called(study: Study, method: str, severity: str, phase: str, name: str) -> dict[str, tuple[float, int]]:
    """Defect type -> share of its images above the threshold in percent, and how many there are."""
    cell = study.cell(method, severity, phase, name)
    if cell is None:
        return {}
    scored, threshold = cell.test, cell.result["threshold"]
    hits = scored.images > threshold
    return {
        str(defect): (100 * float(hits[mine].mean()), int(mine.sum()))
        for defect in np.unique(scored.defects)
        for mine in [scored.defects == defect]
    }


def _finding(study: Study, severity: str) -> str:
    parts = []
    for method in study.methods:
        wrong = {phase: counts(study, method, severity, phase) for phase in SHOWN}
        known = {phase: found for phase, found in wrong.items() if found is not None}
        shown = ", ".join(
            f"{TITLES[phase]} {100 * (found[0, 1] + found[1, 0]) / found.sum():.0f} %" for phase, found in known.items()
        )
        parts.append(f"{method}: {shown}")
    return f"Wrong decisions at severity {severity} — {'; '.join(parts)}."


def draw(study: Study, severity: str) -> Figure:
    """Rows: methods; columns: phases."""
    figure = new_figure(1.0 + 1.6 * len(SHOWN), 0.5 + 1.5 * len(study.methods))
    panels = figure.subplots(len(study.methods), len(SHOWN), squeeze=False)
    for row, method in enumerate(study.methods):
        for column, phase in enumerate(SHOWN):
            axes, found = panels[row][column], counts(study, method, severity, phase)
            axes.set_xticks([0, 1], ["good", "defect"], fontsize=6)
            axes.set_yticks([0, 1], ["good", "defect"], fontsize=6)
            axes.set_title(f"{label(method, 16)}, {TITLES[phase]}", fontsize=6)
            if found is None:
                continue
            axes.imshow(found / found.sum(1, keepdims=True), cmap="Greys", vmin=0, vmax=1)
            for (y, x), value in np.ndenumerate(found):
                dark = value > 0.5 * found[y].sum()
                axes.text(x, y, str(value), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    return figure
