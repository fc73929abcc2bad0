"""Images of one class, what is wrong with them, and where the model sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from moleflow.evaluation.report.figures.canvas import label, new_figure, save

HEAT = colormaps["inferno"]  # its lightness grows with the score, so it reads in grey
COLUMNS = ("image", "ground truth", "anomaly map")
CAPTION, HEADER, CELL, GAP, BAR = 1.6, 0.6, 1.6, 0.08, 0.65  # inches


@dataclass(frozen=True)
class GalleryRow:
    """One test image.

    Attributes:
        image: (h, w, 3) uint8.
        truth: (h, w) bool, True on the defect; None where there is no mask.
        map: (h, w) anomaly scores per pixel.
        title: what the image shows, such as ``good`` or ``scratch/003``.
        score: anomaly score of the image.
        threshold: the score from which the image counts as defective; None without one.
    """

    image: np.ndarray
    truth: np.ndarray | None
    map: np.ndarray
    title: str
    score: float
    threshold: float | None = None


def heatmap_gallery(rows: Sequence[GalleryRow], path: Path, title: str = "") -> None:
    """Write a PNG with one row an image: the image, its defect outlined, its anomaly map over it.

    The colour scale is shared by all rows, so that a normal image stays dark: give one class at a time.
    """
    if not rows:
        return
    scale = _shared_scale([row.map for row in rows])
    width = CAPTION + len(COLUMNS) * (CELL + GAP) + BAR
    figure = new_figure(width, HEADER + len(rows) * (CELL + GAP), layout=None)
    figure.suptitle(label(title, 60), fontsize=11, y=1 - 0.12 / figure.get_figheight())
    for index, row in enumerate(rows):
        top = HEADER + index * (CELL + GAP)
        cells = [_place(figure, CAPTION + column * (CELL + GAP), top, CELL, CELL) for column in range(len(COLUMNS))]
        _draw(row, cells, scale)
        if index == 0:
            for axes, heading in zip(cells, COLUMNS, strict=True):
                axes.set_title(heading, fontsize=9)
    bar = _place(figure, width - BAR, HEADER, 0.14, min(len(rows), 3) * CELL)
    figure.colorbar(ScalarMappable(scale, HEAT), cax=bar).set_label("anomaly score per pixel", fontsize=8)
    bar.tick_params(labelsize=7)
    save(figure, path)


def overlay(image: np.ndarray, scores: np.ndarray, scale: Normalize) -> np.ndarray:
    """(h, w, 3) uint8, (h, w) scores → (h, w, 3) in 0..1: the image in grey, covered more where scores are high."""
    heat = np.clip(np.ma.filled(scale(scores), 0.0), 0.0, 1.0)
    grey = image.astype(np.float64).mean(axis=2, keepdims=True) / 255
    share = 0.25 + 0.6 * heat[..., None]
    return (1 - share) * grey + share * HEAT(heat)[..., :3]


def _shared_scale(maps: Sequence[np.ndarray]) -> Normalize:
    """From the median score, where nothing is to be seen, to the highest."""
    values = np.concatenate([np.ravel(scores) for scores in maps])
    return Normalize(float(np.median(values)), float(values.max()))


def _place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _draw(row: GalleryRow, cells: list[Axes], scale: Normalize) -> None:
    pictures = (row.image, row.image, overlay(row.image, row.map, scale))
    for axes, picture in zip(cells, pictures, strict=True):
        axes.imshow(picture, interpolation="bilinear")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    cells[0].set_ylabel(_caption(row), fontsize=8, rotation=0, ha="right", va="center", labelpad=6)
    outline(row.truth, cells[1])


def outline(truth: np.ndarray | None, axes: Axes) -> None:
    """A light line on a dark one, visible on any background; words where there is nothing to outline."""
    if truth is None or not truth.any():
        note = "no mask" if truth is None else "no defect"
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
        axes.text(0.04, 0.05, note, transform=axes.transAxes, fontsize=7, bbox=box)
        return
    axes.autoscale(False)
    padded = np.pad(truth.astype(float), 1)  # so that a defect at the border is closed, too
    y, x = (np.arange(-1, size + 1) for size in truth.shape)
    for colour, width in (("black", 2.6), ("#ffe14d", 1.2)):
        axes.contour(x, y, padded, levels=[0.5], colors=colour, linewidths=width)


def _caption(row: GalleryRow) -> str:
    """Title, score, and which side of the threshold it is on."""
    lines = [label(row.title, 18), f"score {row.score:.4g}"]
    if row.threshold is not None:
        relation, verdict = ("≥", "defective") if row.score >= row.threshold else ("<", "normal")
        lines += [f"{relation} {row.threshold:.4g}: {verdict}"]
    return "\n".join(lines)
