"""Are the least likely normal patches what defects look like? Distances of defects to the tail and to the rest."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.neighbors import NearestNeighbors

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tail.patches import Product, tail_of
from moleflow.analysis.tail.resample import over_images
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain
from moleflow.utils.errors import UsageError

MOST = 4000
"""Patches of a set that distances are taken to."""


def nearer_by(rows: np.ndarray) -> float:
    """1 − mean distance to the tail / mean distance to the rest; rows (n, 2) hold each image's two means."""
    return float(1 - rows[:, 0].mean() / rows[:, 1].mean())


def nearest(patches: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Euclidean distance of each patch (m, D) to its nearest of the others, (m,)."""
    found, _ = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(patches)
    return np.asarray(found[:, 0])


def train_test(product: Product, command: str = "", seed: int = 0) -> Analysis:
    """The study: nearest training patches, as many of the rest as there are in the tail.

    Raises:
        UsageError: no test image has a mask.
    """
    if not product.test.defects.any():
        raise UsageError(f"{product.name!r} has no masks, so that no patch is known to show a defect.")
    tail = tail_of(product.train.nll, product.ratio)
    rng = np.random.default_rng(seed)
    sets = (product.train.features[tail], product.train.features[~tail])
    count = min(MOST, len(sets[0]))
    tail_set, rest_set = (found[rng.permutation(len(found))[:count]] for found in sets)
    defects = _means(product, product.test.defects, tail_set, rest_set)
    good = product.test.good
    normal = _means(product.__class__(product.name, product.train, good, product.ratio),
                    np.ones(good.nll.shape, dtype=bool), tail_set, rest_set)  # fmt: skip
    by_defects, by_normal = over_images(defects, nearer_by), over_images(normal, nearer_by)
    excess = by_defects.value - by_normal.value
    finding = [
        f"Patches of defects lie {100 * by_defects.value:.1f} % ({100 * by_defects.low:.1f} to "
        f"{100 * by_defects.high:.1f}) nearer to tail patches of training than to as many ({count}) of the rest"
        f"{': no effect' if by_defects.says_nothing else ''}; over {by_defects.n} images with masks.",
        f"Good test patches: {100 * by_normal.value:.1f} % ({100 * by_normal.low:.1f} to {100 * by_normal.high:.1f}). "
        f"Difference {100 * excess:.1f} points: the tail is "
        f"{'nearer to defects than to normal patches' if excess > 0 else 'no special stand-in for defects'}.",
    ]
    numbers = {"patches": count, "defects": by_defects._asdict(), "good": by_normal._asdict()}
    caption = "Mean distance of an image's patches to the nearest training patch; below the line the tail is nearer."
    return Analysis(
        f"Train tail and test defects: {product.name}", finding, numbers, command,
        [Picture("train_test", draw(defects, normal), caption)],
    )  # fmt: skip


def _means(product: Product, chosen: np.ndarray, tail: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Each image's mean distance of its chosen patches to either set, (n, 2); images without any are left out."""
    kept = [features[mask] for features, mask in zip(product.test.features, chosen, strict=True) if mask.any()]
    rows = [_thinned(patches) for patches in kept]
    return np.array([[nearest(patches, tail).mean(), nearest(patches, rest).mean()] for patches in rows])


def _thinned(patches: np.ndarray, most: int = 64) -> np.ndarray:
    return patches[:: max(1, len(patches) // most)]


def draw(defects: np.ndarray, normal: np.ndarray) -> Figure:
    """A point an image."""
    figure = new_figure(3.8, 3.4)
    axes = figure.subplots()
    for rows, title, colour, mark in ((normal, "good", DARK, "o"), (defects, "defect", ACCENT, "x")):
        axes.scatter(rows[:, 1], rows[:, 0], s=14, color=colour, marker=mark, label=title, linewidths=0.8)
    ends = [min(normal.min(), defects.min()), max(normal.max(), defects.max())]
    axes.plot(ends, ends, color="0.6", linewidth=0.8)
    axes.set_xlabel("distance to the rest (feature units)", fontsize=9)
    axes.set_ylabel("distance to the tail (feature units)", fontsize=9)
    plain(axes)
    axes.legend(fontsize=8, frameon=False)
    return figure
