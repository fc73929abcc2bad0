"""One static page over a folder: its runs, findings, figures and tables, with links that move with the folder."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from moleflow.analysis.index.collect import Collection, collect, is_run
from moleflow.analysis.runs import RunRow
from moleflow.evaluation.report.text import percent
from moleflow.utils.errors import UsageError
from moleflow.utils.io import write_text

NAME = "index.html"


def write_run_index(run: Path) -> Path:
    """Write the page of one run: its numbers, figures and tables, and the analyses below it.

    Returns:
        The page, ``index.html`` in the folder.

    Raises:
        UsageError: there is no run.
    """
    if not run.is_dir() or not is_run(run):
        raise UsageError(
            f"There is no run in {run} (no config.json); give --run the folder of one, or use --experiment."
        )
    return write_index(run)


def write_index(root: Path) -> Path:
    """Write the page of everything below a folder.

    Returns:
        The page, ``index.html`` in the folder.

    Raises:
        UsageError: there is no such folder, or nothing in it to show.
    """
    found = collect(root)
    write_text(root / NAME, render(found))
    return root / NAME


def render(found: Collection) -> str:
    """The page's text; every name in it is escaped, every link is relative."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = lambda file: quote(Path(os.path.relpath(file, found.root)).as_posix())
    environment.filters["place"] = lambda file: Path(os.path.relpath(file, found.root)).as_posix()
    environment.tests["there"] = Path.exists
    return environment.get_template("index.html").render(
        title=found.root.resolve().name,
        runs=[(folder, run_cells(row)) for folder, row in found.runs.items()],
        trouble=found.trouble,
        sections=found.sections,
    )


def run_cells(row: RunRow) -> Sequence[str]:
    """A run's numbers: tasks, and percentages."""
    tasks = str(row.tasks[1]) if row.finished else f"{row.tasks[0]} of {row.tasks[1]}"
    return [tasks, *(percent(row.values[name]) for name in ("image_auroc", "pixel_ap", "routing_accuracy", "fm"))]
