"""A pixel threshold for each region of the picture: does where a product has its defects help to find them?"""

from pathlib import Path

import numpy as np
from sklearn.metrics import precision_recall_curve

from moleflow.evaluation.scored import Scored
from moleflow.study.bench import Bench
from moleflow.study.sides.common import Content, cells_done, scores_of

GRIDS = (1, 2, 4)
LOOKED_AT = 128
"""Pixels a side that suffice, because maps are smooth: of larger maps every second, third, … one is looked at."""


def regions(bench: Bench, out: Path) -> Content:
    """A row for each method, severity, class (of ``full``) and grid."""
    rows = []
    for method, severity, name, folder in cells_done(out, "full"):
        val, test = (_with_truth(bench, scored) for scored in scores_of(folder))
        if val is None or test is None or not val[1].any():
            continue
        for grid in GRIDS:
            about = {"method": method, "severity": severity, "class": name, "regions": grid}
            rows.append({**about, **_worth(grid, *val, *test)})
    return {"rows": rows}


def _with_truth(bench: Bench, scored: Scored) -> tuple[np.ndarray, np.ndarray] | None:
    """Maps and truths (n, h', h') of the images whose defects are known."""
    known = {place: truth for place, truth in enumerate(bench.truths(scored.samples)) if truth is not None}
    if not known:
        return None
    step = max(1, bench.img_size // LOOKED_AT)
    return scored.maps[list(known), ::step, ::step], np.stack(list(known.values()))[:, ::step, ::step]


def _worth(
    grid: int, val: np.ndarray, val_truth: np.ndarray, test: np.ndarray, test_truth: np.ndarray
) -> dict[str, float | None]:
    """Pixel F1, precision and recall on test images with thresholds a region from validation images."""
    called = np.zeros_like(test_truth)
    parts = np.array_split(np.arange(val.shape[1]), grid)
    for rows in parts:
        for columns in parts:
            place = np.ix_(np.arange(len(val)), rows, columns)
            limit = _threshold(val[place].ravel(), val_truth[place].ravel())
            place = np.ix_(np.arange(len(test)), rows, columns)
            called[place] = test[place] > limit
    hits = int((called & test_truth).sum())
    ratio = lambda of: hits / of if of else None
    return {
        "pixel_f1": 2 * hits / max(1, int(called.sum() + test_truth.sum())),
        "pixel_precision": ratio(int(called.sum())), "pixel_recall": ratio(int(test_truth.sum())),
    }  # fmt: skip


def _threshold(scores: np.ndarray, truth: np.ndarray) -> float:
    """F1-max; where the region has no defect, its largest score: nothing seen there before is called."""
    if not truth.any():
        return float(scores.max())
    precision, recall, limits = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return float(np.nextafter(limits[f1[:-1].argmax()], -np.inf))
