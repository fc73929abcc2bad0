"""All runs of a folder in one table for the terminal."""

from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from moleflow.analysis.runs import RunRow, Spread, grouped, read_runs, spreads
from moleflow.evaluation.report.text import MISSING

COLUMNS = {
    "image_auroc": "image\nAUROC", "pixel_ap": "pixel\nAP", "routing_accuracy": "routing", "fm": "FM",
    "params_per_task": "params\n/task", "seconds_per_task": "seconds\n/task",
}  # fmt: skip
"""Quantity -> title of its column."""

NARROWEST = 100
"""Below that, lines run on rather than lose numbers."""


def print_summary(folder: Path, console: Console) -> None:
    """Print one row a run and, where a name has several seeds, their mean ± standard deviation.

    Runs that are not finished are in the table and marked; runs that cannot be read are named below it.

    Raises:
        UsageError: the folder is missing or holds no run.
    """
    rows, trouble = read_runs(folder)
    if rows:
        console.width = max(console.width, NARROWEST)
        console.print(_table(rows), crop=False)
    for sentence in trouble:
        console.print(Text(f"cannot be read: {sentence}"), soft_wrap=True)


def _table(rows: list[RunRow]) -> Table:
    table = Table(
        title=Text("routed results in %, FM on the oracle route"),
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.show_edge = table.pad_edge = False
    table.add_column("run", overflow="fold", min_width=24)
    for title in (*COLUMNS.values(), "seed"):
        table.add_column(title, justify="right", no_wrap=True)
    for group, runs in grouped(rows).items():
        for run in runs:
            values = [shown(name, run.values[name]) for name in COLUMNS]
            table.add_row(Text(_label(run)), *values, MISSING if run.seed is None else str(run.seed))
        finished = [run for run in runs if run.finished]
        if len(finished) > 1:
            means = [_spread(name, value) for name, value in spreads(finished).items()]
            table.add_row(Text(group), *means, f"{len(finished)} seeds", style="bold", end_section=True)
    return table


def _label(run: RunRow) -> str:
    return run.name if run.finished else f"{run.name} ({run.tasks[0]} of {run.tasks[1]} tasks)"


def shown(quantity: str, value: float | None) -> str:
    """A value of a quantity as people read it: percent, thousands of parameters, or seconds."""
    return MISSING if value is None else _writer(quantity)(value)


def _spread(quantity: str, value: Spread | None) -> str:
    if value is None:
        return MISSING
    return f"{shown(quantity, value.mean)} ± {shown(quantity, value.std)}"


def _writer(quantity: str) -> Callable[[float], str]:
    if quantity == "params_per_task":
        return lambda value: f"{value / 1000:,.0f}k" if value >= 1000 else f"{value:.0f}"
    return (lambda value: f"{value:.1f}") if quantity == "seconds_per_task" else (lambda value: f"{100 * value:z.1f}")
