"""How far apart the image scores of normal and defective images lie."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, grid, label, new_figure, plain, save

BINS = 30


def score_histograms(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]], thresholds: Mapping[str, float | None], path: Path
) -> None:
    """Write a PNG with one panel a class: normal images filled, defective ones outlined, the threshold dashed.

    Args:
        scores: class → ((n,) labels, 1 for defective; (n,) image scores).
        thresholds: class → the score from which an image counts as defective; None or absent without one.
        path: where to write.
    """
    if not scores:
        return
    columns = min(4, math.ceil(math.sqrt(len(scores))))
    height = 0.8 + 1.6 * math.ceil(len(scores) / columns)
    figure = new_figure(max(4.0, 2.6 * columns), height)
    panels = grid(figure, len(scores), columns)
    for axes, (name, (labels, values)) in zip(panels, scores.items(), strict=True):
        _panel(axes, np.asarray(labels).astype(bool), np.asarray(values, dtype=float), thresholds.get(name))
        axes.set_title(label(name, 26), fontsize=9)
    handles = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    figure.supxlabel("image anomaly score", fontsize=9)
    figure.supylabel("share of images", fontsize=9)
    save(figure, path)


def _panel(axes: Axes, defective: np.ndarray, scores: np.ndarray, threshold: float | None) -> None:
    plain(axes)
    edges = np.histogram_bin_edges(scores, BINS)
    _steps(axes, scores[~defective], edges, {"color": LIGHT, "fill": True, "label": "normal"})
    _steps(axes, scores[defective], edges, {"color": DARK, "linewidth": 1.3, "label": "defective"})
    if threshold is not None:
        axes.axvline(threshold, color=ACCENT, linestyle="--", linewidth=1.2, label="threshold")
    axes.set_ylim(bottom=0)


def _steps(axes: Axes, scores: np.ndarray, edges: np.ndarray, style: dict[str, Any]) -> None:
    """Shares, not counts: there may be few normal images beside many defective ones."""
    if scores.size:
        axes.stairs(np.histogram(scores, edges)[0] / scores.size, edges, **style)
