"""Image AUROC per class and phase, a panel a severity and class."""

import numpy as np
from matplotlib.figure import Figure

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import PHASES, TITLES, LeftOut, Study
from moleflow.evaluation.report.figures.canvas import label, new_figure, plain

GREYS = ("#1f2a37", "#c2410c", "#e8a33d", "#9fc3e8", "#d4d4d4")
HATCHES = ("", "//", "..", "", "xx")


def bars(study: Study) -> Analysis:
    """A group of bars a method, a bar a phase.

    Raises:
        LeftOut: nothing was shifted.
    """
    if not study.shifts:
        raise LeftOut("no shifted severity was measured")
    pictures = [
        Picture(f"bars_{name}", draw(study, metric), f"{title} by class, severity, method and phase.")
        for name, metric, title in (("image", "image_auroc", "Image AUROC"), ("pixel", "pixel_ap", "Pixel AP"))
    ]
    return Analysis("Bars per class", ["Each group is a method; its bars are the phases."], {}, "", pictures)


def draw(study: Study, metric: str) -> Figure:
    """Rows: classes; columns: severities."""
    figure = new_figure(1.2 + 3.0 * len(study.shifts), 0.9 + 1.8 * len(study.classes))
    panels = figure.subplots(len(study.classes), len(study.shifts), squeeze=False, sharey=True)
    places = np.arange(len(study.methods))
    for row, name in enumerate(study.classes):
        for column, severity in enumerate(study.shifts):
            axes = panels[row][column]
            for index, phase in enumerate(PHASES):
                cells = [study.cell(method, severity, phase, name) for method in study.methods]
                values = [np.nan if cell is None else cell.metric(metric) or np.nan for cell in cells]
                axes.bar(places + 0.16 * (index - 2), values, 0.15, color=GREYS[index], hatch=HATCHES[index],
                         edgecolor="white", linewidth=0.3, label=TITLES[phase])  # fmt: skip
            axes.set_title(f"{label(name, 18)}, {severity}", fontsize=8)
            axes.set_xticks(places, [label(method, 16) for method in study.methods], fontsize=7, rotation=15)
            plain(axes)
        panels[row][0].set_ylabel(f"{'image AUROC' if metric == 'image_auroc' else 'pixel AP'}, %", fontsize=8)
    if metric == "image_auroc":
        panels[0][0].set_ylim(40, 100)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7,
                  frameon=False)  # fmt: skip
    return figure
