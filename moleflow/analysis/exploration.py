"""What is in a dataset: counts, sizes, types and areas of defects, example sheets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import label as label_pieces

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Cell, Table
from moleflow.data.datasets import ImageDataset
from moleflow.data.images import load_image, load_mask, native_mask, upright_size
from moleflow.data.sample import Sample
from moleflow.evaluation.report.figures.canvas import DARK, grid, label, new_figure, plain
from moleflow.evaluation.report.figures.gallery import outline
from moleflow.utils.progress import progress

SHEET, SHEET_COLUMNS, TILE = 12, 6, 160
"""Images on an example sheet, in a row of it, and the side of each in pixels."""

NEIGHBOURS = np.ones((3, 3), dtype=int)
"""Pixels of a defect that touch at a corner belong to one piece."""


@dataclass(frozen=True)
class Defect:
    """One mask.

    Attributes:
        share: its part of the image's area, in %.
        pieces: connected pieces.
        at_border: whether it touches the image's border.
    """

    share: float
    pieces: int
    at_border: bool


@dataclass(frozen=True)
class ClassFacts:
    """What was found of one class.

    Attributes:
        name: the class.
        train, test: its samples.
        sizes: (width, height) -> images.
        defects: type -> its masks; masks that are empty or absent are not among them.
    """

    name: str
    train: Sequence[Sample]
    test: Sequence[Sample]
    sizes: Counter[tuple[int, int]]
    defects: dict[str, list[Defect]]


def explore(dataset: ImageDataset, classes: Sequence[str] = (), command: str = "") -> Analysis:
    """Look at every image's header and every mask of some classes (default: all).

    Raises:
        UsageError: a class is absent.
        BadImage: a file cannot be read.
    """
    names = list(classes) or list(dataset.classes)
    facts = [_look(dataset, name) for name in progress(names, len(names), "exploring", "class")]
    counts, defects = _counts(facts), _types(facts)
    pictures = [Picture(f"sheet_{fact.name}", _sheet(fact), f"{fact.name}: normal images, then every type of defect.")
                for fact in facts]  # fmt: skip
    if any(any(fact.defects.values()) for fact in facts):
        pictures.insert(0, Picture("defect_areas", _areas(facts), "Areas of the defects, one point an image."))
    numbers = {fact.name: _numbers(fact) for fact in facts}
    title = f"What is in {dataset.name}"
    return Analysis(title, _finding(facts), numbers, command, pictures, {"counts": counts, "defect_types": defects})


def defect_of(mask: np.ndarray) -> Defect:
    """The facts of a mask, bool (height, width), that is not empty."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return Defect(100 * float(mask.mean()), int(label_pieces(mask, NEIGHBOURS)[1]), bool(border.any()))


def _look(dataset: ImageDataset, name: str) -> ClassFacts:
    train, test = dataset.train(name), dataset.test(name)
    defects: dict[str, list[Defect]] = {sample.defect: [] for sample in test if sample.label}
    for sample in test:
        if sample.mask is not None and (mask := native_mask(sample.mask)).any():
            defects[sample.defect].append(defect_of(mask))
    return ClassFacts(name, train, test, Counter(upright_size(sample.path) for sample in [*train, *test]), defects)


def _counts(facts: Sequence[ClassFacts]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for fact in facts:
        bad = [sample for sample in fact.test if sample.label]
        masks = sum(sample.mask is not None for sample in bad)
        row = (len(fact.train), len(fact.test) - len(bad), len(bad), masks, len(fact.defects), _sizes(fact.sizes))
        rows.append((fact.name, *row))
    columns = ("class", "train", "test good", "defective", "with mask", "types", "width × height")
    return Table("Images of each class", columns, tuple(rows))


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    """One size, or the range of each side."""
    if len(sizes) == 1:
        return "{} × {}".format(*next(iter(sizes)))
    widths, heights = zip(*sizes, strict=True)
    return f"{_span(widths)} × {_span(heights)} ({len(sizes)} sizes)"


def _span(sides: Sequence[int]) -> str:
    return f"{min(sides)}–{max(sides)}" if min(sides) < max(sides) else str(sides[0])


def _types(facts: Sequence[ClassFacts]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for fact in facts:
        images = Counter(sample.defect for sample in fact.test if sample.label)
        rows += [(fact.name, kind, images[kind], *_summary(found)) for kind, found in sorted(fact.defects.items())]
    columns = ("class", "defect", "images", "median area (%)", "min (%)", "max (%)", "pieces", "at border (%)")
    note = "Area in % of the image; pieces: median number of connected parts; of images with a mask that is not empty."
    return Table("Types of defects", columns, tuple(rows), note, digits=2)


def _summary(found: Sequence[Defect]) -> tuple[float | None, ...]:
    if not found:
        return (None,) * 5
    shares = [defect.share for defect in found]
    border = 100 * sum(defect.at_border for defect in found) / len(found)
    return median(shares), min(shares), max(shares), float(median(defect.pieces for defect in found)), border


def _numbers(fact: ClassFacts) -> dict[str, object]:
    return {
        "train": len(fact.train),
        "test": dict(sorted(Counter(sample.defect for sample in fact.test).items())),
        "sizes": {f"{width}x{height}": count for (width, height), count in sorted(fact.sizes.items())},
        "area_percent": {kind: [defect.share for defect in found] for kind, found in sorted(fact.defects.items())},
    }


def _finding(facts: Sequence[ClassFacts]) -> list[str]:
    images = sum(len(fact.train) + len(fact.test) for fact in facts)
    lines = [f"{images} images of {len(facts)} class{'es' * (len(facts) != 1)}."]
    shares = {fact.name: [defect.share for found in fact.defects.values() for defect in found] for fact in facts}
    medians = {name: median(values) for name, values in shares.items() if values}
    if medians:
        small, large = min(medians, key=lambda name: medians[name]), max(medians, key=lambda name: medians[name])
        lines.append(
            f"The median defect covers {medians[small]:.2f} % of the image in {small} (the smallest) "
            f"and {medians[large]:.2f} % in {large} (the largest)."
        )
    if bare := [fact.name for fact in facts if any(s.label and s.mask is None for s in fact.test)]:
        lines.append(f"Some defective images ship no mask: {', '.join(bare)}.")
    return lines


def _areas(facts: Sequence[ClassFacts]) -> Figure:
    """Areas by class on a logarithmic axis; places of points across are drawn from a seed."""
    shown = [fact for fact in facts if any(fact.defects.values())]
    figure = new_figure(max(4.0, 0.7 * len(shown) + 1.5), 3.2)
    axes, rng = figure.subplots(), np.random.default_rng(0)
    for place, fact in enumerate(shown):
        shares = [defect.share for found in fact.defects.values() for defect in found]
        axes.scatter(place + rng.uniform(-0.25, 0.25, len(shares)), shares, s=6, color=DARK, alpha=0.5, linewidths=0)
    axes.set(yscale="log", ylabel="defect area (% of the image)", xticks=range(len(shown)))
    axes.set_xticklabels([label(fact.name, 16) for fact in shown], rotation=45, ha="right")
    plain(axes)
    return figure


def _sheet(fact: ClassFacts) -> Figure:
    """Up to ``SHEET`` images of a class: a quarter normal, the others of all types in turn, defects outlined."""
    shown = _examples(fact)
    rows = -(-len(shown) // SHEET_COLUMNS)
    figure = new_figure(1.5 * SHEET_COLUMNS, 1.75 * rows + 0.4)
    figure.suptitle(label(fact.name, 60), fontsize=10)
    for axes, sample in zip(grid(figure, len(shown), SHEET_COLUMNS), shown, strict=True):
        axes.imshow(load_image(sample.path, TILE, "pad"))
        axes.set(xticks=[], yticks=[])
        axes.set_title(label(sample.defect, 18), fontsize=7)
        if sample.mask is not None:
            outline(load_mask(sample.mask, TILE, "pad"), axes)
    return figure


def _examples(fact: ClassFacts) -> list[Sample]:
    bad = [sample for sample in fact.test if sample.label]
    turns: Counter[str] = Counter()
    order = []
    for sample in bad:
        turns[sample.defect] += 1
        order.append((turns[sample.defect], sample.defect, sample))
    order.sort(key=lambda row: row[:2])
    normal = list(fact.train[: SHEET // 4])
    return normal + sorted((row[2] for row in order[: SHEET - len(normal)]), key=lambda sample: sample.defect)
