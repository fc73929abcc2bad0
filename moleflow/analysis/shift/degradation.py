"""What a shift costs, and how much of it each adaptation wins back."""

from typing import NamedTuple

import numpy as np

from moleflow.analysis.output import Analysis
from moleflow.analysis.shift.cells import TITLES, LeftOut, Study
from moleflow.analysis.shift.resample import auroc_draws, middle
from moleflow.analysis.tables import Cell, Table

ADAPTATIONS = ("threshold", "full", "global")
LEAST = 1.0
"""Points that must be lost before a share of them can be said to be recovered."""


class Change(NamedTuple):
    """A difference in points with its 95 % interval (NaN: none)."""

    value: float
    low: float
    high: float

    @property
    def says_nothing(self) -> bool:
        """Whether zero lies within."""
        return not (self.low > 0 or self.high < 0)

    def shown(self) -> str:
        """``value (low to high)``."""
        return f"{self.value:z.1f} ({self.low:z.1f} to {self.high:z.1f})"


def change(study: Study, method: str, severity: str, first: str, second: str, name: str) -> Change | None:
    """Image AUROC of phase ``second`` minus phase ``first`` on a class, in points; None where one is missing.

    Images are resampled by label. The shifted test set shows the images of the clean one, so both are resampled alike.
    """
    cells = [study.cell(method, severity, phase, name) for phase in (first, second)]
    if None in cells:
        return None
    draws = [auroc_draws(cell.test) for cell in cells if cell is not None]
    low, high = middle(100 * (draws[1] - draws[0]))
    values = [cell.metric("image_auroc") for cell in cells if cell is not None]
    if values[0] is None or values[1] is None:
        return None
    return Change(values[1] - values[0], low, high)


def degradation(study: Study) -> Analysis:
    """Image AUROC and decisions lost to the shift, per method, severity and class.

    Raises:
        LeftOut: no pair of clean and shifted results is there.
    """
    rows: list[tuple[Cell, ...]] = []
    found: dict[str, list[Change]] = {}
    for method in study.methods:
        for severity in study.shifts:
            for name in study.classes:
                lost = change(study, method, severity, "clean", "none", name)
                if lost is None:
                    continue
                found.setdefault(f"{method}, {severity}", []).append(lost)
                others = [_difference(study, method, severity, name, key) for key in ("pixel_ap", "f1")]
                rows.append((method, severity, name, lost.shown(), *others))
    if not rows:
        raise LeftOut("no method has both clean and shifted results")
    columns = ("method", "severity", "class", "image AUROC (95 %)", "pixel AP", "F1 at threshold")
    finding = [f"{key}: image AUROC {_summary(changes)}." for key, changes in found.items()]
    note = "Points, shifted minus clean, detector and threshold unchanged. Intervals: bootstrap over test images."
    return Analysis("Degradation", finding, {"rows": [list(row) for row in rows]},
                    tables={"degradation": Table("What the shift costs", columns, tuple(rows), note)})  # fmt: skip


def recovery(study: Study) -> Analysis:
    """(adapted − not adapted)/(clean − not adapted) of image AUROC and of F1 at the threshold.

    Raises:
        LeftOut: nothing was adapted.
    """
    rows: list[tuple[Cell, ...]] = []
    gains: dict[str, list[Change]] = {}
    for method in study.methods:
        for severity in study.shifts:
            for phase in ADAPTATIONS:
                for name in study.classes:
                    gain = change(study, method, severity, "none", phase, name)
                    if gain is None:
                        continue
                    if phase != "threshold":
                        gains.setdefault(f"{method}, {TITLES[phase]}", []).append(gain)
                    shares = [_recovered(study, method, severity, phase, name, key) for key in ("image_auroc", "f1")]
                    rows.append((method, severity, TITLES[phase], name, gain.shown(), *shares))
    if not rows:
        raise LeftOut("no adapted results are there")
    columns = ("method", "severity", "phase", "class", "image AUROC gained (95 %)", "of image AUROC lost, %",
               "of F1 lost, %")  # fmt: skip
    finding = [f"{key}: image AUROC {_summary(changes)} against not adapting." for key, changes in gains.items()]
    finding.append("A new threshold moves decisions, never the AUROC: look at its share of F1.")
    note = (
        f"A share is given where at least {LEAST:g} point was lost; above 100: better than clean; below 0: worse still."
    )
    return Analysis("Recovery", finding, {"rows": [list(row) for row in rows]},
                    tables={"recovery": Table("What adaptation wins back", columns, tuple(rows), note)})  # fmt: skip


def _value(study: Study, method: str, severity: str, phase: str, name: str, key: str) -> float | None:
    cell = study.cell(method, severity, phase, name)
    if cell is None:
        return None
    return cell.at_threshold(key) if key == "f1" else cell.metric(key)


def _difference(study: Study, method: str, severity: str, name: str, key: str) -> float | None:
    clean, shifted = (_value(study, method, severity, phase, name, key) for phase in ("clean", "none"))
    return None if clean is None or shifted is None else shifted - clean


def _recovered(study: Study, method: str, severity: str, phase: str, name: str, key: str) -> float | None:
    lost = _difference(study, method, severity, name, key)
    shifted, adapted = (_value(study, method, severity, one, name, key) for one in ("none", phase))
    if lost is None or lost > -LEAST or shifted is None or adapted is None:
        return None
    return 100 * (adapted - shifted) / -lost


def _summary(changes: list[Change]) -> str:
    mean = float(np.mean([one.value for one in changes]))
    sure = sum(not one.says_nothing for one in changes)
    nothing = ": no effect shown" if not sure else ""
    return f"{mean:+.1f} points on average, {sure} of {len(changes)} intervals exclude zero{nothing}"
