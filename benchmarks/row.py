"""One row of the benchmark: what is measured, what must be reached, what was found."""

import operator
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.setting import Setting
from moleflow.utils.errors import MoleflowError

REACHES = {"≤": operator.le, "≥": operator.ge}


class NotRun(MoleflowError):
    """A row cannot be measured here; the message says why."""


class Found(NamedTuple):
    """What a measurement gave.

    Attributes:
        value: on the scale of the row's target.
        detail: absolute times and whatever else explains it.
        target: where the row's own depends on what was measured.
    """

    value: float
    detail: str = ""
    target: float | None = None


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        sentence: what is measured, with its unit.
        sign: ``≤`` or ``≥``.
        target: what the value must be at most or at least; None: it is only told.
        measure: measures it.
        in_quick: whether a quick look has the time for it.
    """

    sentence: str
    sign: str
    target: float | None
    measure: Callable[[Setting], Found]
    in_quick: bool = True

    def run(self, setting: Setting) -> "Outcome":
        """Measure, and compare with the target."""
        if setting.quick and not self.in_quick:
            return Outcome(None, self.target, None, "not run: it takes longer than a quick look has")
        try:
            found = self.measure(setting)
        except (MoleflowError, ImportError, OSError, RuntimeError) as reason:  # no compiler, no memory, no file
            return Outcome(None, self.target, None, f"not run: {' '.join(str(reason).split())[:300]}")
        target = self.target if found.target is None else found.target
        passed = None if target is None else REACHES[self.sign](found.value, target)
        return Outcome(found.value, target, passed, found.detail)


class Outcome(NamedTuple):
    """What became of a row.

    Attributes:
        value: None where it was not run.
        target: what had to be reached, None where nothing.
        passed: whether it was; None where nobody can say.
        detail: what explains it.
    """

    value: float | None
    target: float | None
    passed: bool | None
    detail: str
