"""ROC and precision-recall curves of image scores before the shift, under it, and adapted."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import TITLES, Study, typical
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, label, new_figure, plain

SHOWN = {"clean": (DARK, "-"), "none": (ACCENT, "--"), "full": (LIGHT, "-"), "global": ("0.5", ":")}

Curve = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(labels, scores) -> x and y."""


def roc(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-alarm rate and recall."""
    false_alarms, recall, _ = roc_curve(labels, scores)
    return false_alarms, recall


def precision_recall(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision."""
    precision, recall, _ = precision_recall_curve(labels, scores)
    return recall, precision


def curves(study: Study) -> Analysis:
    """Both kinds of curves under the typical severity. Raises LeftOut where nothing was shifted."""
    severity = typical(study.shifts)
    pictures = [
        Picture("roc", draw(study, severity, roc, ("false-alarm rate", "recall")), f"ROC of image scores, {severity}."),
        Picture("pr", draw(study, severity, precision_recall, ("recall", "precision")),
                f"Precision and recall of image scores, {severity}."),
    ]  # fmt: skip
    return Analysis("ROC and PR curves", [f"Severity {severity}; test images."], {}, "", pictures)


def draw(study: Study, severity: str, curve: Curve, titles: tuple[str, str]) -> Figure:
    """Rows: classes; columns: methods; a line a phase."""
    figure = new_figure(0.8 + 2.1 * len(study.methods), 0.8 + 2.0 * len(study.classes))
    panels = figure.subplots(len(study.classes), len(study.methods), squeeze=False, sharex=True, sharey=True)
    for row, name in enumerate(study.classes):
        for column, method in enumerate(study.methods):
            axes = panels[row][column]
            for phase, (colour, dash) in SHOWN.items():
                cell = study.cell(method, severity, phase, name)
                if cell is not None:
                    scored = cell.test
                    axes.plot(
                        *curve(scored.labels, scored.images), dash, color=colour, label=TITLES[phase], linewidth=1.2
                    )
            axes.set_title(f"{label(name, 16)}, {label(method, 18)}", fontsize=8)
            plain(axes)
            axes.set_xlabel(titles[0] if row == len(study.classes) - 1 else "", fontsize=8)
        panels[row][0].set_ylabel(titles[1], fontsize=8)
    handles = {text: line for line, text in zip(*panels[0][0].get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return figure
