"""What a folder holds that people look at: runs, findings, figures, tables; found by walking it."""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moleflow.analysis.runs import RunRow, read_run
from moleflow.utils.errors import MoleflowError, UsageError

PASSED = {"feature_cache", "cache", "demo_data", "experts", "probes", "evaluations", "__pycache__"}
"""Folders that hold nothing to look at."""

MOST_ROWS = 60
"""Of a table that the page shows."""


@dataclass(frozen=True)
class Shown:
    """A table as the page shows it.

    Attributes:
        file: the CSV.
        columns: its header.
        rows: at most ``MOST_ROWS``.
        hidden: how many more there are.
    """

    file: Path
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    hidden: int


@dataclass(frozen=True)
class Section:
    """What one folder holds.

    Attributes:
        folder: the folder.
        title: of its summary.md, else the folder's name.
        command: what made it; empty where nobody says.
        finding: paragraphs.
        figures: PNG file -> caption.
        tables: its CSVs.
    """

    folder: Path
    title: str
    command: str = ""
    finding: Sequence[str] = ()
    figures: dict[Path, str] = field(default_factory=dict)
    tables: Sequence[Shown] = ()


@dataclass(frozen=True)
class Collection:
    """Everything in a folder.

    Attributes:
        root: the folder.
        runs: folder -> its row, by path.
        trouble: a sentence on each run that cannot be read.
        sections: what the other folders hold, by path.
    """

    root: Path
    runs: dict[Path, RunRow]
    trouble: Sequence[str]
    sections: Sequence[Section]


def collect(root: Path) -> Collection:
    """Walk a folder. A run in it is a row, and its ``analyses`` are walked; the root's own files all count.

    Raises:
        UsageError: there is no such folder, or nothing in it to show.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}; give the folder of a run or of an experiment.")
    runs: dict[Path, RunRow] = {}
    trouble, sections = [], []
    for folder in _folders(root):
        if is_run(folder):
            try:
                runs[folder] = read_run(folder)
            except MoleflowError as error:
                trouble.append(f"{folder.relative_to(root)}: {error}")
        if folder == root or not is_run(folder):
            section = read_section(folder)
            sections += [section] if section.finding or section.figures or section.tables else []
    if not (runs or trouble or sections):
        raise UsageError(
            f"There is nothing to show in {root}: expected runs (config.json), figures (.png), tables (.csv) or "
            "summary.md."
        )
    return Collection(root, runs, trouble, sections)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return any((folder / name).is_file() for name in ("config.json", "results.json"))


def read_section(folder: Path) -> Section:
    """What a folder itself holds, not its subfolders."""
    page = folder / "summary.md"
    blocks = page.read_text(encoding="utf-8", errors="replace").split("\n\n") if page.is_file() else []
    captions = dict(re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", "\n".join(blocks)))
    by_file = {name: caption for caption, name in captions.items()}
    title = next((block.lstrip("# ").strip() for block in blocks if block.startswith("# ")), folder.name)
    command = next((block.strip() for block in blocks if block.startswith("    ")), "")
    finding = [block.strip() for block in blocks if _is_told(block) and block.strip() not in captions]
    figures = {file: by_file.get(file.name, _spelled(file)) for file in sorted(folder.glob("*.png"))}
    tables = [read_table(file) for file in sorted(folder.glob("*.csv"))]
    return Section(folder, title, command, finding, figures, tables)


def read_table(file: Path) -> Shown:
    """A CSV, its first rows."""
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        rows = [[_short(cell) for cell in row] for row in csv.reader(lines) if row]
    body = rows[1:]
    return Shown(file, rows[0] if rows else [], body[:MOST_ROWS], max(0, len(body) - MOST_ROWS))


def _folders(root: Path) -> Iterator[Path]:
    for place, below, _ in os.walk(root):
        folder = Path(place)
        inside_run = folder != root and is_run(folder)
        below[:] = sorted(
            name
            for name in below
            if name not in PASSED and not name.startswith(".") and (not inside_run or name == "analyses")
        )
        yield folder


def _is_told(block: str) -> bool:
    """Whether a block of a page is a paragraph: no title, command, figure or table."""
    return bool(block.strip()) and not block.startswith(("#", "    ", "![", "|", "**"))


def _short(cell: str) -> str:
    """A number of more than four digits with four; anything else as it is."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return cell if cell.lstrip("-").isdigit() else f"{number:.4g}"


def _spelled(file: Path) -> str:
    return file.stem.replace("_", " ")
