"""documents/ablations.md, and the history's rows of documents/reproduce.md: written from tables and measured runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moleflow.analysis.measured import FULL
from moleflow.analysis.summary import shown
from moleflow.config.ablations import ABLATIONS, GROUPS
from moleflow.config.components import COMPONENTS, SECTIONS, Component
from moleflow.config.history import VERSIONS
from moleflow.config.presets import PRESETS
from moleflow.config.resolve import negation
from moleflow.evaluation.report.text import MISSING
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json, write_text

MEASURED, CONCLUSIONS = "ablations_measured.json", "ablations_conclusions.md"
BEGIN, END = "<!-- history: written by scripts/make_ablation_table.py -->", "<!-- history: end -->"

INTRODUCTION = """# Ablations

Written by `python scripts/make_ablation_table.py` from the tables in `moleflow/config/`, from measured runs and from
`ablations_conclusions.md`: change those, not this page.

*found* is what the method's own history reports (on MVTec AD unless it says otherwise; in points of image AUROC where
one number stands): a prior, not a result of this code. *measured here* is image AUROC / pixel AP in %, routed, mean ±
standard deviation over seeds, and in brackets the difference to the full method; – where nothing was measured.
"""

ROWS = """
## Rows

Each row is the full method but for its flags: `python run_moleflow.py --preset mvtec_main --ablation wo_dia`. Studies
are started by `scripts/run_ablation_study.sh`.
"""

Rows = Mapping[str, Mapping[str, Any]]
"""Ablation row -> quantity -> {mean, std, n}, as the measured file holds them."""


def update_documents(folder: Path) -> None:
    """Write ablations.md, and the history's part of reproduce.md, in the folder of documents.

    Raises:
        MoleflowError: a document or the measured file cannot be read, or reproduce.md has no place for the history.
    """
    measured, conclusions = folder / MEASURED, folder / CONCLUSIONS
    said = conclusions.read_text(encoding="utf-8") if conclusions.exists() else ""
    write_text(folder / "ablations.md", ablations_page(read_json(measured) if measured.exists() else None, said))
    reproduce = folder / "reproduce.md"
    write_text(reproduce, with_history(reproduce.read_text(encoding="utf-8")))


def ablations_page(measured: Mapping[str, Any] | None, conclusions: str = "") -> str:
    """The page: how it was measured, a table of components for each section, a table of rows for each study.

    Args:
        measured: the content of the measured file; None where nothing was measured yet.
        conclusions: what people make of it, the page's last section.
    """
    rows: Rows = measured["rows"] if measured else {}
    parts = [INTRODUCTION, _how(measured), "\n## Components\n"]
    for letter, title in SECTIONS.items():
        lines = [_component(name, part, rows) for name, part in COMPONENTS.items() if name[0] == letter]
        parts.append(f"\n### {title}\n\n" + _table(["component", "flag", "formula", "found", "measured here"], lines))
    parts.append(ROWS)
    for group, names in GROUPS.items():
        titles = ["row", "what", "flags", "measured here", "FM", "parameters a task", "seconds a task"]
        parts.append(f"\n### {group}\n\n" + _table(titles, [_row(name, rows) for name in names]))
    return "".join([*parts, f"\n{conclusions}" if conclusions else ""])


def history_rows() -> str:
    """The presets of the method's history as rows of the reproduction table."""
    lines = [[f"`{name}`", PRESETS[name].sentence, PRESETS[name].reported, PRESETS[name].verified] for name in VERSIONS]
    return _table(["preset", "setting", "reported", "verified?"], lines)


def with_history(text: str) -> str:
    """A document with the history's rows between its two marks.

    Raises:
        MoleflowError: it does not have the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise MoleflowError(f"reproduce.md has no place for the history: expected the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{history_rows()}\n{END}{after}"


def words(flags: Mapping[str, Any]) -> str:
    """A row's flags as the command line spells them."""
    return " ".join(f"--{_spelled(flag, value)}" for flag, value in flags.items())


def _spelled(flag: str, value: Any) -> str:
    if isinstance(value, bool):
        return flag if value else negation(flag)
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join([flag, *(f"{one:g}" if isinstance(one, int | float) else str(one) for one in values)])


def _how(measured: Mapping[str, Any] | None) -> str:
    if not measured:
        return "\nNothing has been measured yet: `scripts/run_measured_ablations.sh` does.\n"
    setting, full = measured["setting"], measured["rows"][FULL]
    seeds, classes = ", ".join(map(str, full["seeds"])), ", ".join(setting["task_classes"])
    return (
        f"\nMeasured with `scripts/run_measured_ablations.sh` (preset `measured`): {classes} one after another,\n"
        f"{setting['backbone_name']}, {setting['img_size']} px, {setting['num_steps']} steps a task for every row, "
        f"seeds {seeds}. The full method:\n{_accuracy(full)}, FM {_cell(full, 'fm')}, "
        f"{_cell(full, 'params_per_task')} parameters a task, {_cell(full, 'seconds_per_task')} s of training a task.\n"
    )


def _component(name: str, part: Component, rows: Rows) -> list[str]:
    measured = "<br>".join(f"`{row}` {_change(row, rows)}" for row in part.rows if row in rows)
    return [f"{name} {part.title}", _code(part.flags), _code(part.file), part.found or MISSING, measured or MISSING]


def _row(name: str, rows: Rows) -> list[str]:
    title = ABLATIONS[name].title + (" (the full method)" if ABLATIONS[name].reference else "")
    head = [f"`{name}`", title, _code(words(ABLATIONS[name].flags))]
    if name not in rows:
        return [*head, *[MISSING] * 4]
    quantities = ("fm", "params_per_task", "seconds_per_task")
    return [*head, _change(name, rows), *(_cell(rows[name], quantity) for quantity in quantities)]


def _change(name: str, rows: Rows) -> str:
    changes = [_difference(rows[name], rows[FULL], quantity) for quantity in ("image_auroc", "pixel_ap")]
    return f"{_accuracy(rows[name])} ({' / '.join(changes)})"


def _difference(one: Mapping[str, Any], full: Mapping[str, Any], quantity: str) -> str:
    if one[quantity] is None or full[quantity] is None:
        return MISSING
    return f"{100 * (one[quantity]['mean'] - full[quantity]['mean']):+z.1f}".replace("-", "−")


def _accuracy(entry: Mapping[str, Any]) -> str:
    return f"{_cell(entry, 'image_auroc')} / {_cell(entry, 'pixel_ap')}"


def _cell(entry: Mapping[str, Any], quantity: str) -> str:
    value = entry[quantity]
    if value is None:
        return MISSING
    constant = value["std"] is None or quantity == "params_per_task"
    return shown(quantity, value["mean"]) + ("" if constant else f" ± {shown(quantity, value['std'])}")


def _code(text: str) -> str:
    return f"`{text}`" if text else MISSING


def _table(titles: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    rows = [list(titles), ["---"] * len(list(titles)), *map(list, lines)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)
