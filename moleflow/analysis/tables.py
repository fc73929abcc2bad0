"""One table, written for people (Markdown), programs (CSV) and papers (LaTeX)."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from moleflow.evaluation.report.text import MISSING
from moleflow.utils.io import write_text

Cell = str | int | float | None
"""Text, a count, a number that is shown with the table's decimals, or nothing."""

LATEX = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
         "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "≥": r"$\geq$",
         "≤": r"$\leq$", "→": r"$\rightarrow$", "×": r"$\times$", "−": r"$-$"}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        title: one line.
        columns: their names, units included.
        rows: cells, one a column.
        note: what a reader must know, below the table.
        digits: decimals of numbers that are no counts, in what people read; the CSV keeps all of them.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    digits: int = 1

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of {self.title!r} has {len(row)} cells for {len(self.columns)} columns: {row}")

    def shown(self, cell: Cell) -> str:
        """A cell as people read it."""
        match cell:
            case None:
                return MISSING
            case float():
                return f"{cell:z.{self.digits}f}"
        return str(cell)

    def markdown(self) -> str:
        """A pipe table under its title; numbers stand on the right."""
        marks = [":--" if self._is_text(place) else "--:" for place in range(len(self.columns))]
        cells = [[_one_line(self.shown(cell)).replace("|", r"\|") for cell in row] for row in self.rows]
        lines = [f"| {' | '.join(line)} |" for line in (self.columns, marks, *cells)]
        return "\n".join([f"**{self.title}**", "", *lines, *(["", self.note] if self.note else []), ""])

    def csv(self) -> str:
        """Comma-separated, a header, full precision, empty where there is nothing."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([self.columns, *self.rows])
        return file.getvalue()

    def latex(self) -> str:
        """A booktabs tabular with its caption."""
        align = "".join("l" if self._is_text(place) else "r" for place in range(len(self.columns)))
        lines = [" & ".join(latex(self.shown(cell)) for cell in row) + r" \\" for row in self.rows]
        head = " & ".join(map(latex, self.columns)) + r" \\"
        caption = latex(f"{self.title}. {self.note}".rstrip(". ") + ".")
        inside = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule",
                  r"\end{tabular}"]  # fmt: skip
        return "\n".join([r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", *inside, r"\end{table}", ""])

    def _is_text(self, place: int) -> bool:
        return any(isinstance(row[place], str) for row in self.rows)


FORMS: dict[str, Callable[[Table], str]] = {"md": Table.markdown, "csv": Table.csv, "tex": Table.latex}
"""Extension -> what writes it."""


def write_table(table: Table, folder: Path, name: str) -> None:
    """Write ``<name>.md``, ``.csv`` and ``.tex`` into a folder."""
    for extension, form in FORMS.items():
        write_text(folder / f"{name}.{extension}", form(table))


def latex(text: str) -> str:
    """Text with what LaTeX would take for commands escaped."""
    return "".join(LATEX.get(letter, letter) for letter in _one_line(text))


def mean_std(values: Sequence[float], digits: int = 1) -> str:
    """``mean ± sample standard deviation``, the latter only where there are two values or more."""
    if not values:
        return MISSING
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:z.{digits}f}"
    std = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:z.{digits}f} ± {std:z.{digits}f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
