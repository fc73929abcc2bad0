"""The images a run is most wrong about: defects that look normal to it, and good images that look defective."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.tables import Table
from moleflow.evaluation.kept import KeptScores, read_scores
from moleflow.evaluation.report.figures.canvas import label, new_figure
from moleflow.evaluation.report.figures.gallery import overlay

EACH = 5
"""Missed defects, and as many good images."""
PANELS = {1: 3, 0: 2}
"""Label -> panels of an image: image and map, and of a defect its mask."""


class Failure(NamedTuple):
    """One image and how wrong its score is.

    Attributes:
        class_name: its class.
        row: its place among the class's test images.
        image: its name.
        defect: its type of defect, ``good`` where it has none.
        label: 1 for a defect, 0 for a good image.
        rank: of a defect, the share of good images that score as high or higher; of a good image, the share of
            defective ones that score as low or lower. 1 is as wrong as can be.
        spreads: its score minus the mean of the good images', in their standard deviations.
    """

    class_name: str
    row: int
    image: str
    defect: str
    label: int
    rank: float
    spreads: float


class Picture(NamedTuple):
    """What a failure looks like: image (h, h, 3) uint8, map (h, h) on a scale of its class, mask (h, h) or None."""

    failure: Failure
    image: np.ndarray
    map: np.ndarray
    truth: np.ndarray | None
    scale: Normalize


def failures(class_name: str, kept: KeptScores) -> list[Failure]:
    """Every test image of a class, on the routed way."""
    good, defective = kept.routed[kept.labels == 0], kept.routed[kept.labels == 1]
    spread = float(good.std()) or 1.0
    return [
        Failure(
            class_name, row, str(kept.names[row]), str(kept.defects[row]), int(kept.labels[row]),
            float(np.mean(good >= score) if kept.labels[row] else np.mean(defective <= score)),
            float((score - good.mean()) / spread),
        )
        for row, score in enumerate(kept.routed)
    ]  # fmt: skip


def worst(found: Sequence[Failure], each: int = EACH) -> list[Failure]:
    """The missed defects lowest among good images, then the good images highest among defects; of equal rank the one
    farther on the wrong side."""
    missed = sorted((one for one in found if one.label), key=lambda one: (-one.rank, one.spreads))
    alarms = sorted((one for one in found if not one.label), key=lambda one: (-one.rank, -one.spreads))
    return [*missed[:each], *alarms[:each]]


def worst_of(run: FinishedRun) -> tuple[list[Failure], dict[str, KeptScores]]:
    """The worst failures over all classes of a run, and the kept scores of its classes."""
    kept = read_scores(run.folder)
    return worst([one for name, scores in kept.items() for one in failures(name, scores)]), kept


def pictures(
    chosen: Sequence[Failure], kept: Mapping[str, KeptScores], images: Mapping[tuple[str, str], np.ndarray]
) -> list[Picture]:
    """What failures look like; those without an image are left out.

    Args:
        chosen: the failures.
        kept: class -> its kept scores.
        images: (class, name) -> image (h, h, 3) uint8.
    """
    scales = {name: _scale(kept[name]) for name in {one.class_name for one in chosen}}
    return [
        Picture(
            one, images[one.class_name, one.image], kept[one.class_name].drawn("routed", np.array([one.row]))[0],
            kept[one.class_name].truth(one.row), scales[one.class_name],
        )
        for one in chosen
        if (one.class_name, one.image) in images
    ]  # fmt: skip


def failures_table(found: Mapping[str, Sequence[Failure]]) -> Table:
    """A row for each failure; the mapping is from backbones."""
    rows = [
        (backbone, number, "missed defect" if one.label else "false alarm", one.class_name, one.defect, one.image,
         100 * one.rank, one.spreads)
        for backbone, chosen in found.items()
        for number, one in enumerate(chosen, 1)
    ]  # fmt: skip
    note = (
        "Rank: of a missed defect, the share in % of good test images of its class that score as high or higher; of a "
        "false alarm, the share of defective ones that score as low or lower. Spreads: the score minus the mean of "
        "good images, in their standard deviations. One run: the first seed, order given."
    )
    columns = ("backbone", "no.", "failure", "class", "type", "image", "rank", "spreads")
    return Table("The worst failures", columns, tuple(rows), note)


def drawn(shown: Sequence[Picture]) -> Figure:
    """Missed defects above, with their masks; false alarms below; maps on their class's scale."""
    columns = max(sum(one.failure.label == kind for one in shown) for kind in PANELS)
    figure = new_figure(1.55 * columns, 8.2)
    panels = figure.subplots(sum(PANELS.values()), columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
    for kind, top in ((1, 0), (0, PANELS[1])):
        own = [one for one in shown if one.failure.label == kind]
        for column, one in enumerate(own):
            _draw(one, panels[top : top + PANELS[kind], column])
    return figure


def _draw(one: Picture, cells: np.ndarray) -> None:
    failure = one.failure
    name = failure.image.rpartition("/")[2]
    cells[0].set_title(f"{label(failure.class_name, 20)}\n{label(f'{failure.defect}, {name}', 24)}", fontsize=7)
    cells[0].imshow(one.image)
    cells[1].imshow(overlay(one.image, one.map, one.scale))
    for axes in cells[2:]:
        if one.truth is None:
            axes.text(0.5, 0.5, "no mask", ha="center", fontsize=7, transform=axes.transAxes)
        else:
            axes.imshow(one.truth, cmap="gray", vmin=0, vmax=1)


def _scale(kept: KeptScores) -> Normalize:
    """From the median pixel of a class, where nothing is to be seen, to its highest defective one."""
    maps = kept.drawn("routed", np.arange(len(kept.labels)))
    return Normalize(float(np.median(maps[:, ::4, ::4])), float(maps.max()))
