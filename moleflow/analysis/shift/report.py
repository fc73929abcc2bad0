"""Every table and figure of a domain-shift study, and a page that shows them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from moleflow.analysis.output import Analysis
from moleflow.analysis.shift.attention import attention
from moleflow.analysis.shift.bars import bars
from moleflow.analysis.shift.calibration import calibration
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.analysis.shift.curves import curves
from moleflow.analysis.shift.degradation import degradation, recovery
from moleflow.analysis.shift.embeddings import embeddings
from moleflow.analysis.shift.errors import confusion
from moleflow.analysis.shift.galleries import galleries
from moleflow.analysis.shift.levels import metrics, thresholds
from moleflow.analysis.shift.places import places
from moleflow.analysis.shift.scatter import scatter
from moleflow.analysis.shift.sides import KINDS, global_confusion, part
from moleflow.utils.io import write_text

PARTS: dict[str, Callable[[Study], Analysis]] = {
    "metrics": metrics, "degradation": degradation, "recovery": recovery, "thresholds": thresholds, "bars": bars,
    "curves": curves, "scatter": scatter, "confusion": confusion, "places": places, "calibration": calibration,
    "galleries": galleries, "embeddings": embeddings, **{name: part(name) for name in KINDS},
    "global_confusion": global_confusion, "attention": attention,
}  # fmt: skip
"""Folder of the report -> what fills it, in the order of the page."""


def write_all(results: Path, out: Path | None = None) -> list[str]:
    """Write ``out/<part>/`` for every part whose measurements are there, and ``out/summary.md``.

    Args:
        results: a study's folder.
        out: where to write; None: ``results/report``.

    Returns:
        A sentence on each part that is left out.

    Raises:
        UsageError: no study is there.
        MoleflowError: a file of it is damaged.
    """
    study, out = Study(results), out or results / "report"
    command = str(study.facts.get("command", ""))
    page, missing = [f"# Domain shift: {', '.join(study.classes)}", f"    {command}", _setting(study)], []
    for name, make in PARTS.items():
        try:
            found = make(study)
        except LeftOut as reason:
            missing.append(f"{name}: left out, {reason}")
            continue
        replace(found, command=command).write(out / name)
        page += [f"## {found.title}", *found.finding, *_shown(name, found)]
    if missing:
        page += ["## Left out", "\n".join(f"- {sentence}" for sentence in missing)]
    write_text(out / "summary.md", "\n\n".join(page) + "\n")
    return missing


def _setting(study: Study) -> str:
    facts = study.facts
    return (
        f"Methods {', '.join(study.methods)}; severities {', '.join(study.shifts)}; seed {facts.get('seed')}; "
        f"images of {facts.get('image_size')} pixels. Cells done: {len(study.cells)}."
    )


def _shown(name: str, found: Analysis) -> list[str]:
    pictures = [f"![{picture.caption}]({name}/{picture.name}.png)\n\n{picture.caption}" for picture in found.pictures]
    tables = [
        table.markdown().rstrip() if len(table.rows) <= MOST_ROWS else f"[{table.title}]({name}/{key}.md)"
        for key, table in found.tables.items()
    ]
    return [*pictures, *tables]


MOST_ROWS = 40
"""Of a table on the page; longer ones are linked."""
