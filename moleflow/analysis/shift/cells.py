"""The files of a domain-shift study, read: what was measured, and what each detector said of each image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from moleflow.evaluation.scored import Scored
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

CLEAN = "clean"
PHASES = (CLEAN, "none", "threshold", "full", "global")
TITLES = {
    CLEAN: "clean",
    "none": "shifted, not adapted",
    "threshold": "threshold only",
    "full": "refitted",
    "global": "one model for all",
}
"""Phase -> how people call it."""
METRICS = {
    "image_auroc": "image AUROC", "image_ap": "image AP", "image_f1max": "image F1max", "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP", "pixel_f1max": "pixel F1max", "aupro": "AUPRO",
}  # fmt: skip


class LeftOut(Exception):
    """What a figure or table needs was not measured."""


@dataclass(frozen=True)
class Cell:
    """One method under one severity in one phase on one class.

    Attributes:
        folder: where its files lie.
        result: the content of result.json.
    """

    folder: Path
    result: dict[str, Any]

    @property
    def test(self) -> Scored:
        """Test images with their scores. Raises MoleflowError where the file is damaged."""
        return Scored.load(self.folder / "test.npz")

    def metric(self, name: str) -> float | None:
        """A metric on test images, in percent."""
        value = self.result["metrics"].get(name)
        return None if value is None else 100 * value

    def at_threshold(self, name: str) -> float | None:
        """A decision metric at the cell's threshold, in percent; counts as they are."""
        value = self.result["at_threshold"].get(name)
        return value if value is None or name in ("tp", "fp", "tn", "fn") else 100 * value


class Study:
    """A study's folder.

    Args:
        out: the folder.

    Raises:
        UsageError: no study is there.
    """

    def __init__(self, out: Path):
        if not (out / "study.json").is_file():
            raise UsageError(
                f"{out} holds no domain-shift study (no study.json): scripts/run_domain_shift.py makes one"
            )
        self.out = out
        self.facts: dict[str, Any] = read_json(out / "study.json")
        try:
            self.methods, self.severities, self.classes = (
                list(self.facts[name]) for name in ("methods", "severities", "classes")
            )
        except (KeyError, TypeError) as error:
            raise MoleflowError(f"{out / 'study.json'} lacks {error}: run the study again") from error
        self.shifts = [severity for severity in self.severities if severity != CLEAN]

    @cached_property
    def cells(self) -> dict[tuple[str, str, str, str], Cell]:
        """(method, severity, phase, class) -> cell, of all that are done."""
        places = [
            (method, severity, phase, name)
            for method in self.methods
            for severity in (CLEAN, *self.shifts)
            for phase in ((CLEAN,) if severity == CLEAN else PHASES[1:])
            for name in self.classes
        ]
        folders = {place: self.out.joinpath(*place) for place in places}
        return {
            place: Cell(folder, read_json(folder / "result.json"))
            for place, folder in folders.items()
            if (folder / "result.json").is_file()
        }

    def cell(self, method: str, severity: str, phase: str, name: str) -> Cell | None:
        """A cell, if it is done; ``clean`` has one severity."""
        return self.cells.get((method, CLEAN if phase == CLEAN else severity, phase, name))

    def macro(self, method: str, severity: str, phase: str, metric: str) -> float | None:
        """Mean over classes in percent; None where a class is missing or the metric applies to none."""
        found = [self.cell(method, severity, phase, name) for name in self.classes]
        values = [cell.metric(metric) for cell in found if cell is not None]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known and None not in found else None

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(method, severity, phase) in the order of tables: a method's clean row, then its severities."""
        for method in self.methods:
            yield method, CLEAN, CLEAN
            for severity in self.shifts:
                for phase in PHASES[1:]:
                    yield method, severity, phase

    def side(self, name: str) -> list[dict[str, Any]]:
        """The rows of a side study.

        Raises:
            LeftOut: it was not made.
        """
        file = self.out / "side" / name / "result.json"
        if not file.is_file():
            raise LeftOut(f"side study {name} was not made")
        rows: list[dict[str, Any]] = read_json(file)["rows"]
        if not rows:
            raise LeftOut(f"side study {name} measured nothing")
        return rows


def typical(severities: Sequence[str]) -> str:
    """The severity to show where one must do: the middle one, which is the specification's.

    Raises:
        LeftOut: there is none.
    """
    if not severities:
        raise LeftOut("no shifted severity was measured")
    return "moderate" if "moderate" in severities else severities[len(severities) // 2]
