"""The interaction study as figure, table and page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from moleflow.analysis.continual.interaction import METRICS, PARTS, Study, effect, interaction, read_study, verdict
from moleflow.analysis.intervals import Interval
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Cell, Table, mean_std
from moleflow.config.ablations import BASES, BOOSTERS
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain

Effects = dict[tuple[str, str], Interval]
"""(base or ``difference``, part) -> points."""

NOTE = (
    "Effects are paired differences to the same base without any part, over seeds and classes, with Student's 95 % "
    "interval; classes of one stream share a base, so the intervals are, if anything, too narrow."
)


def interaction_analysis(log_dir: Path, command: str = "") -> Analysis:
    """The study of the runs in a folder. Raises what ``read_study`` raises."""
    studies = {metric: read_study(log_dir, metric) for metric in METRICS}
    found = {metric: effects_of(study) for metric, study in studies.items()}
    sentences = [
        verdict(part, metric, *(effects[base, part] for base in (*BASES, "difference")))
        for metric, effects in found.items()
        for part in PARTS
    ]
    return Analysis(
        "Parts of an expert on a frozen and on a trainable base",
        [*sentences, NOTE],
        {metric: _numbers(studies[metric], effects) for metric, effects in found.items()},
        command,
        [Picture("interaction_effect", draw(found), "What each part adds, in points, with 95 % intervals.")],
        {"levels": _levels(studies), "effects": _effects(found)},
    )


def effects_of(study: Study) -> Effects:
    """Every effect of a study."""
    alone = {(base, part): effect(study, base, part) for base in BASES for part in PARTS}
    return {**alone, **{("difference", part): interaction(study, part) for part in PARTS}}


def draw(found: Mapping[str, Effects]) -> Figure:
    """A panel a metric: per part the effect on either base."""
    figure = new_figure(3.2 * len(found), 2.7)
    for axes, (metric, effects) in zip(figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True):
        for shift, base, colour, mark in ((-0.12, "frozen", DARK, "o"), (0.12, "trainable", ACCENT, "s")):
            _points(axes, [effects[base, part] for part in PARTS], shift, f"{base} base", (colour, mark))
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set_xticks(range(len(PARTS)), list(PARTS.values()))
        axes.set_ylabel(f"change of {METRICS[metric]}, points", fontsize=9)
        plain(axes)
        axes.legend(fontsize=8, frameon=False)
    return figure


def _points(axes: Axes, row: list[Interval], shift: float, title: str, style: tuple[str, str]) -> None:
    places = [index + shift for index in range(len(row))]
    errors = [[one.value - one.low for one in row], [one.high - one.value for one in row]]
    axes.errorbar(places, [one.value for one in row], errors, fmt=style[1], color=style[0], capsize=3, label=title)


def _levels(studies: Mapping[str, Study]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for base in BASES:
        for part, (title, _) in BOOSTERS.items():
            cells = [mean_std(list(study[base, part].values())) for study in studies.values()]
            n = max(len(study[base, part]) for study in studies.values())
            rows.append((base, title, n, *cells))
    titles = tuple(f"{title}, %" for title in METRICS.values())
    return Table("Mean ± std over seeds and classes", ("base", "parts", "n", *titles), tuple(rows))


def _effects(found: Mapping[str, Effects]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (METRICS[metric], PARTS[part], *(effects[base, part].shown() for base in (*BASES, "difference")))
        for metric, effects in found.items()
        for part in PARTS
    ]
    return Table(
        "Effects in points (95 % interval)", ("metric", "part", "frozen", "trainable", "difference"), tuple(rows)
    )


def _numbers(study: Study, effects: Effects) -> dict[str, Any]:
    values = {
        f"{base}/{part}": {f"{name}/s{seed}": round(value, 4) for (seed, name), value in cells.items()}
        for (base, part), cells in study.items()
    }
    intervals = {
        f"{base}/{part}": {
            key: None if value != value else round(value, 4) if isinstance(value, float) else value
            for key, value in one._asdict().items()
        }
        for (base, part), one in effects.items()
    }
    return {"values": values, "effects": intervals}
