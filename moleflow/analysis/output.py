"""What an analysis leaves: numbers (JSON), figures (PNG and PDF), tables, and a page (Markdown) with the finding."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from moleflow.analysis.tables import Table, write_table
from moleflow.evaluation.report.figures.canvas import any_glyph, arrange, save
from moleflow.utils.io import write_bytes, write_json, write_text

MAX_BYTES = 200_000
"""Of a figure's PNG."""


@dataclass(frozen=True)
class Picture:
    """A figure and what it shows.

    Attributes:
        name: file name without extension.
        figure: the figure.
        caption: one sentence.
    """

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Analysis:
    """Everything one analysis found.

    Attributes:
        title: one line.
        finding: sentences with numbers and their uncertainty; "no effect" where there is none.
        numbers: what ``analysis_results.json`` holds.
        command: what made it, shown above the finding; empty where nobody knows.
        pictures: figures.
        tables: file name -> table.
    """

    title: str
    finding: Sequence[str]
    numbers: Mapping[str, Any]
    command: str = ""
    pictures: Sequence[Picture] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``analysis_results.json``, ``summary.md``, every figure and every table into a folder."""
        for picture in self.pictures:
            save_figure(picture.figure, folder / picture.name)
        for name, table in self.tables.items():
            write_table(table, folder, name)
        write_json(folder / "analysis_results.json", self.numbers)
        write_text(folder / "summary.md", self.markdown())

    def markdown(self) -> str:
        """The page: title, command, finding, figures, tables."""
        command = [f"    {self.command}"] if self.command else []
        shown = [f"![{picture.caption}]({picture.name}.png)\n\n{picture.caption}" for picture in self.pictures]
        tables = [table.markdown().rstrip() for table in self.tables.values()]
        return "\n\n".join([f"# {self.title}", *command, *self.finding, *shown, *tables]) + "\n"


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``path.pdf`` and ``path.png``, the latter of at most ``MAX_BYTES``."""
    pdf = io.BytesIO()
    with any_glyph():
        arrange(figure)
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path.with_name(f"{path.name}.pdf"), pdf.getvalue(), durable=False)
    save(figure, path.with_name(f"{path.name}.png"), MAX_BYTES)
