"""What tables by type and by size of defect share: some defective images against all good ones of their class."""

from collections.abc import Callable, Sequence

import numpy as np

from moleflow.analysis.statistics.finished import FinishedRun, by_group
from moleflow.analysis.statistics.seeds import over_seeds
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.text import METRIC_TITLES
from moleflow.evaluation.statistics.counted import Counted

Groups = Callable[[Counted], dict[str, np.ndarray]]
"""Test images -> what a row is called -> the defective images it is of, (n,) bool."""


def breakdown_table(runs: Sequence[FinishedRun], title: str, column: str, groups: Groups) -> Table:
    """A row for each setting, class and group of defects."""
    rows = [row for name, own in by_group(runs).items() for row in _rows(name, own, groups)]
    note = (
        "In %, routed, mean ± sample standard deviation over seeds: the images of the row against all good test images "
        "of the class. Metrics from counts, within 0.1 points of the exact ones; defects without masks have no pixel "
        "metrics."
    )
    return Table(title, ("setting", "class", column, "images", *METRIC_TITLES.values()), tuple(rows), note)


def _rows(setting: str, runs: list[FinishedRun], groups: Groups) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for class_name, tested in runs[0].tested.items():
        for group, chosen in groups(tested).items():
            values = [_values(run.tested[class_name], groups, group) for run in runs if class_name in run.tested]
            cells = [over_seeds([one[metric] for one in values]) for metric in METRIC_TITLES]
            rows.append((setting, class_name, group, int(chosen.sum()), *cells))
    return rows


def _values(tested: Counted, groups: Groups, group: str) -> dict[str, float | None]:
    nobody = np.zeros(len(tested.labels), dtype=bool)
    chosen = groups(tested).get(group, nobody) | (tested.labels == 0)
    found = tested.values(chosen[None].astype(float))
    return {metric: None if np.isnan(value[0]) else float(value[0]) for metric, value in found.items()}
