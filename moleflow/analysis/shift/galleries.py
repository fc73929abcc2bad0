"""The best and the worst decisions, to look at: image, defect, anomaly map."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import LeftOut, Study, typical
from moleflow.evaluation.report.figures.canvas import label, new_figure

EACH = 3
"""Images a kind and class."""
SIDE = 128


class Shown(NamedTuple):
    """One image of a gallery: its file, its mask's (or None), its map, what it shows, score − threshold in spreads."""

    path: str
    mask: str | None
    map: np.ndarray
    title: str
    margin: float


def galleries(study: Study) -> Analysis:
    """A best and a worst gallery a method, not adapted under the typical severity.

    Raises:
        LeftOut: nothing was shifted, or the images are gone.
    """
    severity = typical(study.shifts)
    pictures = []
    for method in study.methods:
        ranked = [shown for name in study.classes for shown in ranking(study, method, severity, name)]
        for kind, chosen in (("worst", picked(ranked, worst=True)), ("best", picked(ranked, worst=False))):
            if chosen:
                caption = (
                    f"{method}, {severity}, not adapted: the {kind} decisions, in each image its map on the right."
                )
                pictures.append(Picture(f"{kind}_{method}", draw(chosen), caption))
    if not pictures:
        raise LeftOut("the shifted images are not where they were")
    finding = ["A margin is the distance of the score to the threshold on the right side, in standard deviations of "
               "normal scores; negative: a wrong decision."]  # fmt: skip
    return Analysis("Best and worst", finding, {}, "", pictures)


def ranking(study: Study, method: str, severity: str, name: str) -> list[Shown]:
    """Test images of a class with their margins; those whose file is gone are left out."""
    cell = study.cell(method, severity, "none", name)
    if cell is None:
        return []
    scored, threshold = cell.test, cell.result["threshold"]
    spread = float(scored.images[scored.labels == 0].std()) or 1.0
    signs = np.where(scored.labels == 1, 1, -1)
    margins = signs * (scored.images - threshold) / spread
    return [
        Shown(str(sample.path), str(sample.mask) if sample.mask else None, anomaly, f"{name}/{sample.defect}", margin)
        for sample, anomaly, margin in zip(scored.samples, scored.maps, margins.tolist(), strict=True)
        if sample.path.is_file()
    ]


def picked(ranked: list[Shown], worst: bool) -> list[Shown]:
    """The first few by margin, in order."""
    ordered = sorted(ranked, key=lambda shown: shown.margin, reverse=not worst)
    return ordered[: 2 * EACH]


def draw(shown: list[Shown]) -> Figure:
    """Two rows: images with the defect outlined, maps."""
    figure = new_figure(1.45 * len(shown), 3.3)
    panels = figure.subplots(2, len(shown), squeeze=False)
    for column, one in enumerate(shown):
        picture = np.asarray(Image.open(one.path).convert("RGB").resize((SIDE, SIDE)))
        panels[0][column].imshow(picture)
        if one.mask is not None:
            truth = np.asarray(Image.open(one.mask).convert("L").resize((SIDE, SIDE))) > 127
            if truth.any() and not truth.all():
                panels[0][column].contour(truth, levels=[0.5], colors="#c2410c", linewidths=0.8)
        panels[1][column].imshow(one.map, cmap="inferno")
        panels[0][column].set_title(f"{label(one.title, 22)}\nmargin {one.margin:+.1f}", fontsize=6)
        for axes in panels[:, column]:
            axes.set_axis_off()
    return figure
