"""Calibration curves: does a score that validation says is 80 % defective mean that on test images?"""

import numpy as np
from matplotlib.figure import Figure
from sklearn.isotonic import IsotonicRegression

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import TITLES, Cell, LeftOut, Study, typical
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, LIGHT, label, new_figure, plain
from moleflow.evaluation.scored import Scored

BINS = 6
SHOWN = {"clean": (DARK, "-"), "none": (ACCENT, "--"), "threshold": ("0.5", ":"), "full": (LIGHT, "-.")}


def calibration(study: Study) -> Analysis:
    """Curves and expected calibration errors, a panel a method, classes together.

    Probabilities are an isotonic fit of the validation images' labels on their scores, class by class. Not adapted, the
    fit is of clean validation images; else of the cell's own.

    Raises:
        LeftOut: no validation set holds both kinds of images.
    """
    severity = typical(study.shifts)
    found = {
        (method, phase): pairs
        for method in study.methods
        for phase in SHOWN
        for pairs in [predicted(study, method, severity, phase)]
        if pairs is not None
    }
    if not found:
        raise LeftOut("no validation set holds both kinds of images")
    errors = {f"{method}, {TITLES[phase]}": expected_error(*pairs) for (method, phase), pairs in found.items()}
    finding = [f"Expected calibration error at severity {severity}, points: "
               + ", ".join(f"{key} {100 * value:.0f}" for key, value in errors.items()) + "."]  # fmt: skip
    picture = Picture("calibration", draw(study, found), "Share of defective test images against the predicted one.")
    return Analysis("Calibration", finding, {"ece": errors}, "", [picture])


def predicted(study: Study, method: str, severity: str, phase: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Probabilities and labels of the test images of all classes whose validation set can be fitted."""
    parts = []
    for name in study.classes:
        cell = study.cell(method, severity, phase, name)
        fitted_on = study.cell(method, severity, "clean" if phase == "none" else phase, name)
        if cell is not None and fitted_on is not None and (both := _of(cell, fitted_on)) is not None:
            parts.append(both)
    if not parts:
        return None
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _of(cell: Cell, fitted_on: Cell) -> tuple[np.ndarray, np.ndarray] | None:
    val = Scored.load(fitted_on.folder / "val.npz")
    if len(set(val.labels.tolist())) < 2:
        return None
    curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(val.images, val.labels)
    test = cell.test
    return np.asarray(curve.predict(test.images)), test.labels


def expected_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Σ n_b/n·|mean label − mean probability| over bins of equal width (Naeini et al. 2015)."""
    places = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [abs(labels[places == one].sum() - probabilities[places == one].sum()) for one in range(bins)]
    return float(sum(gaps) / len(labels))


def draw(study: Study, found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A panel a method, a line a phase."""
    figure = new_figure(0.9 + 2.1 * len(study.methods), 3.0)
    panels = figure.subplots(1, len(study.methods), squeeze=False, sharey=True)[0]
    for axes, method in zip(panels, study.methods, strict=True):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8)
        for phase, (colour, dash) in SHOWN.items():
            if (method, phase) in found:
                probabilities, labels = found[method, phase]
                places = np.minimum((probabilities * BINS).astype(int), BINS - 1)
                used = [one for one in range(BINS) if (places == one).any()]
                axes.plot([probabilities[places == one].mean() for one in used],
                          [labels[places == one].mean() for one in used],
                          dash, color=colour, marker="o", markersize=3, label=TITLES[phase])  # fmt: skip
        axes.set_title(label(method, 20), fontsize=8)
        axes.set_xlabel("predicted share", fontsize=8)
        plain(axes)
    panels[0].set_ylabel("share of defective images", fontsize=8)
    panels[0].legend(fontsize=6, frameon=False)
    return figure
