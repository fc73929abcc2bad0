"""One defective image of each class under a shifted domain: every severity, and every transform alone."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from moleflow.data.datasets import ImageDataset
from moleflow.data.images import native_image, native_mask
from moleflow.data.sample import Sample
from moleflow.data.shift.domain import SEVERITIES, TRANSFORMS, DomainShift, ShiftedImage
from moleflow.data.splits import SEED
from moleflow.evaluation.report.figures.canvas import label, new_figure
from moleflow.evaluation.report.figures.gallery import outline
from moleflow.utils.errors import UsageError

TILE = 150
"""Longest side of an image in the figure, in pixels."""


def draw_examples(dataset: ImageDataset, classes: Sequence[str], seeds: Sequence[int] = (SEED,)) -> Figure:
    """A row a class: the image, all transforms at each severity, each transform alone at the highest; masks outlined.

    Args:
        dataset: the images.
        classes: rows.
        seeds: of the rows, in turn.

    Raises:
        UsageError: a class has no defective image with a mask.
    """
    shifts = {**{severity: DomainShift(severity) for severity in SEVERITIES},
              **{name: DomainShift("severe", (name,)) for name in TRANSFORMS}}  # fmt: skip
    figure = new_figure(1.15 * (1 + len(shifts)), 1.35 * len(classes) + 0.3)
    axes_of = figure.subplots(len(classes), 1 + len(shifts), squeeze=False)
    for row, name, seed in zip(axes_of, classes, cycle(seeds), strict=False):
        sample = _defective(dataset, name)
        image, mask = native_image(sample.path), native_mask(sample.mask) if sample.mask else None
        row[0].set_ylabel(label(name), fontsize=8)
        _show(row[0], ShiftedImage(image, mask, {}), "original")
        for axes, (title, shift) in zip(row[1:], shifts.items(), strict=True):
            _show(axes, shift(image, mask, seed), title)
    return figure


def _defective(dataset: ImageDataset, name: str) -> Sample:
    for sample in dataset.test(name):
        if sample.mask is not None and native_mask(sample.mask).any():
            return sample
    raise UsageError(f"class {name!r} has no defective image with a mask: name other classes")


def _show(axes: Axes, shifted: ShiftedImage, title: str) -> None:
    small = Image.fromarray(shifted.image)
    small.thumbnail((TILE, TILE))
    axes.imshow(np.asarray(small))
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=7)
    if shifted.mask is not None:
        mask = Image.fromarray(shifted.mask.astype(np.uint8) * 255).resize(small.size)
        outline(np.asarray(mask) > 127, axes)
