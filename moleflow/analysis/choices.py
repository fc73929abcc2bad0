"""What each choice of a preset is worth on an inner validation, and whether that is enough to make it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from moleflow.analysis.accuracy.tables import NORMAL_95
from moleflow.analysis.accuracy.values import MEAN, Resampled
from moleflow.analysis.output import Analysis
from moleflow.analysis.statistics.finished import FinishedRun, read_finished
from moleflow.analysis.statistics.report import Resampling
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.results import INSIDE, SOURCES
from moleflow.evaluation.statistics.bootstrap import draw_groups
from moleflow.utils.errors import UsageError
from moleflow.utils.text import refuse_unknown

RANKED_BY = {"image_ap": "image AP", "pixel_ap": "pixel AP"}
"""What a setting is judged by inside; image AP, because it looks at the highest scores."""
FOR, AGAINST, OPEN = "for it", "against it", "open"
SAYS = {FOR: "what helps", AGAINST: "what harms", OPEN: "what is open"}


class Effect(NamedTuple):
    """What a choice adds to a metric's mean over classes, fractions.

    Attributes:
        without: the value without it.
        gain: the value with it minus that.
        error: standard error of the gain.
    """

    without: float
    gain: float
    error: float

    @property
    def verdict(self) -> str:
        """Whether the gain lies beyond what another draw of the same images may do."""
        if abs(self.gain) > NORMAL_95 * self.error:
            return FOR if self.gain > 0 else AGAINST
        return OPEN


class ResampledSources(Resampled):
    """The same under resamplings of training images: one that is drawn comes with all its damaged versions."""

    def weights(self, run: FinishedRun, name: str, seed: int) -> np.ndarray:
        """How often each resampling takes each of a class's images, (R, n)."""
        sources = run.results[INSIDE][SOURCES]
        return draw_groups(np.array([sources.get(one, one) for one in run.tested[name].names]), self.resamples, seed)


def choices_analysis(
    folder: Path, preset: str, resampling: Resampling, command: str = "", classes: Sequence[str] = ()
) -> Analysis:
    """Compare a preset with the same less one of its choices, on the images both were judged on.

    Args:
        folder: of runs that scripts/validate_inside.py has judged.
        preset: the name of the one that makes every choice; the others are named after the choice they do without.
        resampling: of the standard errors.
        command: what made the page.
        classes: those that means are of; none: all.

    Raises:
        UsageError: there is no such run or class, or none beside it, or they were not judged on the same images.
        MoleflowError: kept scores are damaged.
    """
    runs, trouble = read_finished([folder])
    judged = {run.name: _only(run, classes) for run in runs if _is_judged(run)}
    trouble += [f"{run.name} was not judged inside by today's validate_inside.py" for run in runs
                if run.name not in judged]  # fmt: skip
    effects = effects_of(judged, preset, ResampledSources(resampling.count, resampling.seed))
    return Analysis(
        "What each choice is worth on training images alone",
        [*_findings(effects), *(f"Left out: {sentence}." for sentence in trouble)],
        {
            "preset": preset,
            "classes": list(judged[preset].results["per_class"]),
            "resamples": resampling.count,
            "seed": resampling.seed,
            "effects": _numbers(effects),
        },
        command,
        tables={"choices": _table(effects, resampling.count)},
    )


def effects_of(runs: Mapping[str, FinishedRun], preset: str, resampled: Resampled) -> dict[str, dict[str, Effect]]:
    """Choice -> metric of ``RANKED_BY`` -> what the choice adds; other seeds of the preset are no choice.

    Raises as ``choices_analysis``.
    """
    whole = runs.get(preset)
    without = {name: run for name, run in sorted(runs.items()) if whole and run.row.group != whole.row.group}
    if whole is None or not without:
        found = ", ".join(runs) or "none"
        raise UsageError(f"expected a run named {preset!r} and others beside it, judged inside, found {found}")
    if other := [name for name, run in without.items() if _damaged(run) != _damaged(whole)]:
        raise UsageError(f"{', '.join(other)} and {preset} were judged on other damaged images: judge them on the same")
    return {
        name: {metric: _effect(whole, run, metric, resampled) for metric in RANKED_BY} for name, run in without.items()
    }


def _is_judged(run: FinishedRun) -> bool:
    return SOURCES in run.results.get(INSIDE, {}) and run.has_scores


def _damaged(run: FinishedRun) -> str:
    """Hash of the list of damaged images it was judged on."""
    return run.results[INSIDE]["inner"]


def _only(run: FinishedRun, classes: Sequence[str]) -> FinishedRun:
    """The run as if it had some of its classes only; none: all."""
    known = run.results["per_class"]
    refuse_unknown("--classes", classes, known)
    return replace(run, results={**run.results, "per_class": {name: known[name] for name in classes or known}})


def _effect(whole: FinishedRun, run: FinishedRun, metric: str, resampled: Resampled) -> Effect:
    error = resampled.difference_error((whole,), (run,), MEAN, metric)
    return Effect(_mean(run, metric), _mean(whole, metric) - _mean(run, metric), np.nan if error is None else error)


def _mean(run: FinishedRun, metric: str) -> float:
    return float(np.mean([row[metric] for row in run.results["per_class"].values()]))


def _findings(effects: Mapping[str, Mapping[str, Effect]]) -> list[str]:
    return [
        f"By {title}, named after what is done without it, {sentence}: {', '.join(names)}."
        for metric, title in RANKED_BY.items()
        for verdict, sentence in SAYS.items()
        if (names := [name for name, found in effects.items() if found[metric].verdict == verdict])
    ]


def _numbers(effects: Mapping[str, Mapping[str, Effect]]) -> dict[str, dict[str, dict[str, float]]]:
    return {name: {metric: one._asdict() for metric, one in found.items()} for name, found in effects.items()}


def _table(effects: Mapping[str, Mapping[str, Effect]], resamples: int) -> Table:
    rows = [(name, *(cell for one in found.values() for cell in _cells(one))) for name, found in effects.items()]
    parts = ("without", "effect", "95 % from", "to", "verdict")
    columns = ("without", *(f"{title} {part}" for title in RANKED_BY.values() for part in parts))
    note = (
        "Mean over classes, in %. Effect: the preset minus the same without the choice, on normal training images, "
        f"each scored as a new one, and damaged ones. 95 %: ± 1.96 bootstrap standard errors, {resamples} resamplings "
        "of the training images, each with its damaged versions, the same for both. Open: zero lies within. Of twenty "
        "verdicts one is chance."
    )
    return Table("What each choice adds inside", columns, tuple(rows), note)


def _cells(one: Effect) -> Sequence[Cell]:
    spread = NORMAL_95 * one.error
    shown = (one.without, one.gain, one.gain - spread, one.gain + spread)
    return [*(100 * value for value in shown), one.verdict]
