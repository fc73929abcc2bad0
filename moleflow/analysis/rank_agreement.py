"""Does an inner validation rank settings as the test sets do? Kendall's τ over runs of the same names on both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.statistics.finished import FinishedRun, read_finished
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.figures.canvas import DARK, new_figure, plain
from moleflow.utils.errors import UsageError

METRICS = {"image_auroc": "image AUROC", "image_ap": "image AP", "pixel_ap": "pixel AP"}
BY = {"image_auroc": "image AUROC", "image_ap": "image AP"}
"""What may rank inside what image AUROC ranks on the test sets.

AP looks at the highest scores, where defects that nobody sees do not lie.
"""
MEAN = "mean"
FEWEST = 3
"""Settings below which a ranking says nothing."""

CAPTION = (
    "A point a setting, mean over classes, inside and on the test sets; numbers are those of the table of settings."
)

NOTE = (
    "τ-b (Kendall 1945) counts pairs of settings that both rank alike, minus those they rank in opposite order, of the "
    "pairs without a tie; p is of no association, exact where nothing is tied. The last columns say what choosing "
    "inside would cost: the test value of the setting that is best inside, and the best test value; in %."
)


class Pair(NamedTuple):
    """A setting's score inside and on the test set, fractions."""

    inner: float
    test: float


@dataclass(frozen=True)
class Agreement:
    """How far two rankings of the same settings agree.

    Attributes:
        pairs: setting -> its scores.
        tau: Kendall's τ-b, −1 to 1; None where one side does not rank at all.
        p: of no association; None like ``tau``.
    """

    pairs: Mapping[str, Pair]
    tau: float | None
    p: float | None

    @property
    def chosen(self) -> str:
        """The setting that is best inside."""
        return max(self.pairs, key=lambda name: self.pairs[name].inner)

    @property
    def best(self) -> float:
        """The best test score."""
        return max(pair.test for pair in self.pairs.values())

    @property
    def regret(self) -> float:
        """Best test score minus that of the setting chosen inside, a fraction."""
        return self.best - self.pairs[self.chosen].test


def agreement(pairs: Mapping[str, Pair]) -> Agreement:
    """τ-b of pairs: (P − Q) / √((P + Q + X)(P + Q + Y)), with X and Y pairs tied on one side only."""
    found = stats.kendalltau([pair.inner for pair in pairs.values()], [pair.test for pair in pairs.values()])
    ranked = not np.isnan(found.statistic)
    return Agreement(pairs, float(found.statistic) if ranked else None, float(found.pvalue) if ranked else None)


def rank_agreement(inner: Path, test: Path, command: str = "", by: str = "image_auroc") -> Analysis:
    """Compare runs on an inner validation with runs of the same names on the test sets.

    Args:
        inner: folder of the finished runs on the inner validation.
        test: folder of the finished runs on the real data.
        command: what made the page.
        by: what ranks inside what image AUROC ranks on the test sets, one of ``BY``.

    Raises:
        UsageError: a folder holds no finished run, or fewer than ``FEWEST`` names or no class are in both.
    """
    (inside, unread), (outside, more) = read_finished([inner]), read_finished([test])
    pairs, left = _paired(inside, outside)
    classes = _common_classes([run for pair in pairs.values() for run in pair])
    inside_of = {**{metric: metric for metric in METRICS}, "image_auroc": by}
    found = {
        (metric, name): agreement(scores)
        for metric in METRICS
        for name in (MEAN, *classes)
        if len(scores := _scores(pairs, (inside_of[metric], metric), classes if name == MEAN else [name])) >= FEWEST
    }
    missing = [f"Left out: {sentence}." for sentence in (*left, *unread, *more)]
    return Analysis(
        "Does the inner validation rank settings as the test sets do?",
        [*(_sentence(metric, found[metric, MEAN], by) for metric in METRICS if (metric, MEAN) in found), *missing],
        {"classes": classes, "by": by, "agreement": {m: _numbers(found, m) for m in METRICS}},
        command,
        [Picture("rank_agreement", _figure(found, by), CAPTION)],
        {"agreement": _agreement_table(found), "settings": _settings_table(found, by)},
    )


def _paired(
    inside: Sequence[FinishedRun], outside: Sequence[FinishedRun]
) -> tuple[dict[str, tuple[FinishedRun, FinishedRun]], list[str]]:
    """Name -> its run inside and its run on the test sets; and what has no partner, in words."""
    first, second = ({run.name: run for run in runs} for runs in (inside, outside))
    pairs = {name: (first[name], second[name]) for name in first if name in second}
    if len(pairs) < FEWEST:
        raise UsageError(
            f"expected {FEWEST} or more experiment names that are in both folders, found {len(pairs)}: "
            f"{', '.join(first)} and {', '.join(second)}"
        )
    return pairs, [f"{name} has no partner of its name" for name in sorted(first.keys() ^ second.keys())]


def _common_classes(runs: Sequence[FinishedRun]) -> list[str]:
    """Classes that every run tested, in the first run's order."""
    common = [name for name in runs[0].results["per_class"] if all(name in run.results["per_class"] for run in runs)]
    if not common:
        raise UsageError("expected a class that all runs have tested, found none: compare runs of the same classes")
    return common


def _scores(
    pairs: Mapping[str, tuple[FinishedRun, FinishedRun]], metrics: tuple[str, str], classes: Sequence[str]
) -> dict[str, Pair]:
    """Setting -> means of a metric inside and of one outside over the classes that have both, routed; or empty."""
    every = [(run, metric) for pair in pairs.values() for run, metric in zip(pair, metrics, strict=True)]
    known = [c for c in classes if all(run.results["per_class"][c][metric] is not None for run, metric in every)]
    if not known:
        return {}
    values = {
        name: [
            float(np.mean([run.results["per_class"][c][metric] for c in known]))
            for run, metric in zip(pair, metrics, strict=True)
        ]
        for name, pair in pairs.items()
    }
    return {name: Pair(*value) for name, value in values.items()}


def _inside_title(metric: str, by: str) -> str:
    """What ranks inside, in words."""
    return BY[by] if metric == "image_auroc" else METRICS[metric]


def _sentence(metric: str, found: Agreement, by: str) -> str:
    if found.tau is None:
        return f"{METRICS[metric]}: one side scores all settings alike, so there is no ranking to compare."
    inside = _inside_title(metric, by)
    ranked = "" if inside == METRICS[metric] else f", ranked inside by {inside}"
    return (
        f"{METRICS[metric]}{ranked}, mean over classes: τ = {found.tau:z.2f} (p {_p(found.p)}, "
        f"{len(found.pairs)} settings); choosing inside gives {found.chosen}, "
        f"{100 * found.regret:z.1f} points below the best."
    )


def _numbers(found: Mapping[tuple[str, str], Agreement], metric: str) -> dict[str, object]:
    return {
        name: {
            "tau": one.tau, "p": one.p, "chosen": one.chosen, "regret": one.regret,
            "settings": {setting: pair._asdict() for setting, pair in one.pairs.items()},
        }
        for (of, name), one in found.items()
        if of == metric
    }  # fmt: skip


def _agreement_table(found: Mapping[tuple[str, str], Agreement]) -> Table:
    rows = [
        (METRICS[metric], name, len(one.pairs), _tau(one.tau), _p(one.p), one.chosen,
         100 * one.pairs[one.chosen].test, 100 * one.best)
        for (metric, name), one in found.items()
    ]  # fmt: skip
    columns = ("metric", "class", "settings", "τ", "p", "best inside", "its test value", "best test value")
    return Table("Agreement of the rankings", columns, tuple(rows), NOTE)


def _settings_table(found: Mapping[tuple[str, str], Agreement], by: str) -> Table:
    means = {metric: found[metric, MEAN] for metric in METRICS if (metric, MEAN) in found}
    names = next(iter(means.values())).pairs if means else ()
    rows: list[tuple[Cell, ...]] = [
        (number, name, *(100 * value for one in means.values() for value in one.pairs[name]))
        for number, name in enumerate(names, 1)
    ]
    titles = [(f"{_inside_title(metric, by)} inside", f"{METRICS[metric]} test") for metric in means]
    columns = ("no.", "setting", *(title for pair in titles for title in pair))
    return Table("Every setting, mean over classes, in %", columns, tuple(rows))


def _tau(tau: float | None) -> str | None:
    return None if tau is None else f"{tau:z.2f}"


def _p(p: float | None) -> str | None:
    return None if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _figure(found: Mapping[tuple[str, str], Agreement], by: str) -> Figure:
    figure = new_figure(3.6 * len(METRICS), 3.2)
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        if (metric, MEAN) in found:
            _points(axes, found[metric, MEAN].pairs)
        axes.set_xlabel(f"{_inside_title(metric, by)} inside, %", fontsize=9)
        axes.set_ylabel(f"{METRICS[metric]} on the test sets, %", fontsize=9)
        plain(axes)
    return figure


def _points(axes: Axes, pairs: Mapping[str, Pair]) -> None:
    for number, pair in enumerate(pairs.values(), 1):
        place = (100 * pair.inner, 100 * pair.test)
        axes.plot(*place, "o", color=DARK, markersize=4)
        axes.annotate(str(number), place, xytext=(3, 3), textcoords="offset points", fontsize=8)
