"""The table of two runs on the same images: differences, their intervals, and whether chance would do as much."""

from typing import NamedTuple

import numpy as np

from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.statistics.intervals import MEAN
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.text import METRIC_TITLES
from moleflow.evaluation.statistics.bootstrap import Interval, bootstrap, interval, mean_over_classes
from moleflow.evaluation.statistics.counted import Counted
from moleflow.evaluation.statistics.counts import Values, image_values, pixel_values
from moleflow.evaluation.statistics.paired import Difference, delong, exchanged, mean_difference, p_value
from moleflow.utils.errors import UsageError
from moleflow.utils.seed import derive_seed

LEVEL = 0.05
"""Below it a difference counts as one."""


class Row(NamedTuple):
    """One metric of one class, or of the mean over classes; fractions.

    Attributes:
        class_name: the class, or ``MEAN``.
        metric: the metric.
        first, second: the runs' values.
        interval: 95 % interval of second minus first, both resampled together; None where there is none.
        p: two-sided p-value; None where there is none.
        method: of the p-value.
    """

    class_name: str
    metric: str
    first: float
    second: float
    interval: Interval | None
    p: float | None
    method: str


class _Compared(NamedTuple):
    """Values, resampled and exchanged differences, and DeLong's, of one class."""

    first: dict[str, float]
    second: dict[str, float]
    resampled: Values
    exchanged: Values
    delong: Difference | None


def compare(first: FinishedRun, second: FinishedRun, resamples: int, seed: int) -> list[Row]:
    """Second minus first, class by class and in the mean over classes: DeLong for image AUROC, exchange for the rest.

    Raises:
        UsageError: the runs were not tested on the same images.
        MoleflowError: no scores were kept.
    """
    check_same(first, second)
    classes = {
        name: _compared(tested, second.tested[name], resamples, derive_seed(seed, "compare", name))
        for name, tested in first.tested.items()
    }
    rows = [_row(name, metric, [one]) for name, one in classes.items() for metric in METRIC_TITLES]
    rows += [_row(MEAN, metric, list(classes.values())) for metric in METRIC_TITLES]
    return [row for row in rows if row is not None]


def comparison_table(first: str, second: str, rows: list[Row], resamples: int) -> Table:
    """A row for each class and metric, in %; the p-value as text with three decimals."""
    columns = ("class", "metric", "A", "B", "B − A", "95 % from", "to", "p", "test")
    note = (
        f"A: {first}; B: {second}. In %, routed. Intervals: bootstrap over images, both runs resampled together "
        f"({resamples} resamplings). DeLong: DeLong et al. 1988, as computed by Sun & Xu 2014; exchange: ranks "
        "exchanged between the runs image by image (Bandos et al. 2005). p-values are not corrected for the number of "
        "rows."
    )
    return Table("Two runs on the same images", columns, tuple(_cells(row) for row in rows), note, digits=2)


def verdict(rows: list[Row], first: str, second: str) -> list[str]:
    """A sentence on each metric of the mean over classes."""
    return [_sentence(row, first, second) for row in rows if row.class_name == MEAN]


def _sentence(row: Row, first: str, second: str) -> str:
    size = f"{100 * (row.second - row.first):+.2f} points of {METRIC_TITLES[row.metric]}"
    span = f", 95 % [{100 * row.interval.low:+.2f}, {100 * row.interval.high:+.2f}]" if row.interval else ""
    chance = "" if row.p is None else f", p {_sign(row.p)} ({row.method})"
    judged = "" if row.p is None or row.p < LEVEL else f": no difference at the level of {LEVEL}"
    return f"{second} against {first}, mean over classes: {size}{span}{chance}{judged}."


def _cells(row: Row) -> tuple[Cell, ...]:
    low, high = (100 * row.interval.low, 100 * row.interval.high) if row.interval else (None, None)
    values = (100 * row.first, 100 * row.second, 100 * (row.second - row.first))
    return row.class_name, METRIC_TITLES[row.metric], *values, low, high, _p(row.p), row.method


def _p(value: float | None) -> str | None:
    return None if value is None else _sign(value).removeprefix("= ")


def _sign(p: float) -> str:
    """``= 0.123``, or ``< 0.001``: no p-value is zero."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _compared(first: Counted, second: Counted, resamples: int, seed: int) -> _Compared:
    drawn = [bootstrap(one.values, one.labels, resamples, seed) for one in (first, second)]
    swapped = {
        **exchanged(first.images, second.images, image_values, resamples, seed),
        **exchanged(first.pixels, second.pixels, pixel_values, resamples, seed),
    }
    labels = first.labels
    enough = min(labels.sum(), (1 - labels).sum()) >= 2
    return _Compared(
        {metric: float(value[0]) for metric, value in first.values(first.whole).items()},
        {metric: float(value[0]) for metric, value in second.values(second.whole).items()},
        {metric: drawn[1][metric] - drawn[0][metric] for metric in drawn[0]},
        swapped,
        delong(labels, first.scores, second.scores) if enough else None,
    )


def _row(name: str, metric: str, classes: list[_Compared]) -> Row | None:
    known = [one for one in classes if not np.isnan(one.first[metric])]
    if not known:
        return None
    first, second = (float(np.mean([values[metric] for values in side])) for side in _sides(known))
    found = interval(mean_over_classes([one.resampled[metric] for one in known]))
    parts = [one.delong for one in known if one.delong is not None]
    if metric == "image_auroc" and len(parts) == len(known):
        return Row(name, metric, first, second, found, mean_difference(parts).p, "DeLong")
    p = p_value(second - first, mean_over_classes([one.exchanged[metric] for one in known]))
    return Row(name, metric, first, second, found, p, "exchange")


def _sides(classes: list[_Compared]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [one.first for one in classes], [one.second for one in classes]


def check_same(first: FinishedRun, second: FinishedRun) -> None:
    """Refuse runs that were not tested on the same images.

    Raises:
        UsageError: they were not; MoleflowError: no scores were kept.
    """
    mine, other = set(first.tested), set(second.tested)
    if mine != other:
        raise UsageError(
            f"expected two runs of the same classes, found {', '.join(sorted(mine ^ other))} in only one of "
            f"{first.name} and {second.name}"
        )
    for name, tested in first.tested.items():
        _check_images(name, tested, second.tested[name])


def _check_images(class_name: str, first: Counted, second: Counted) -> None:
    same = all(
        np.array_equal(*parts)
        for parts in ((first.names, second.names), (first.labels, second.labels), (first.known, second.known))
    )
    if not same:
        raise UsageError(
            f"expected both runs to be tested on the same images of {class_name}, found {len(first.names)} and "
            f"{len(second.names)} that differ: evaluate both on the same data"
        )
