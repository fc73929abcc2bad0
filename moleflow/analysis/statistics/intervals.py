"""The table of 95 % intervals over test images: of each class of each run, and of the mean over its classes."""

import numpy as np

from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.text import METRIC_TITLES
from moleflow.evaluation.statistics.bootstrap import Interval, bootstrap, interval, mean_over_classes
from moleflow.evaluation.statistics.counts import Values
from moleflow.utils.seed import derive_seed

MEAN = "mean"
"""The row below a run's classes."""

Found = dict[str, dict[str, Interval | None]]
"""Class, or ``MEAN`` -> metric -> interval."""


def run_intervals(run: FinishedRun, resamples: int, seed: int) -> Found:
    """Intervals of every class and of the mean over classes, fractions; classes are resampled independently."""
    drawn = {
        name: bootstrap(tested.values, tested.labels, resamples, derive_seed(seed, "bootstrap", name))
        for name, tested in run.tested.items()
    }
    means = {metric: mean_over_classes([values[metric] for values in drawn.values()]) for metric in METRIC_TITLES}
    return {name: _intervals(values) for name, values in {**drawn, MEAN: means}.items()}


def intervals_table(found: dict[str, tuple[FinishedRun, Found]], resamples: int) -> Table:
    """A row for each class of each run, and its mean: value [low, high].

    Args:
        found: run -> the run and its intervals.
        resamples: how many they rest on.
    """
    rows = [_row(run, name, own) for run, intervals in found.values() for name, own in intervals.items()]
    note = (
        f"In %, routed: value [95 % interval]. Percentile bootstrap over test images, {resamples} resamplings, normal "
        "and defective images drawn apart; the model and its seed are held fixed."
    )
    return Table("Intervals over test images", ("run", "class", *METRIC_TITLES.values()), tuple(rows), note)


def shown(value: float | None, found: Interval | None) -> str | None:
    """``92.5 [90.1, 94.3]`` of fractions; None where there is nothing."""
    if value is None or found is None:
        return None
    return f"{100 * value:z.1f} [{100 * found.low:z.1f}, {100 * found.high:z.1f}]"


def _intervals(values: Values) -> dict[str, Interval | None]:
    return {metric: interval(np.asarray(values[metric])) for metric in METRIC_TITLES}


def _row(run: FinishedRun, name: str, own: dict[str, Interval | None]) -> tuple[Cell, ...]:
    values = run.results["final"]["routed"] if name == MEAN else run.results["per_class"][name]
    return run.name, name, *(shown(values[metric], own[metric]) for metric in METRIC_TITLES)
