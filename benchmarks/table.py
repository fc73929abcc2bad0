"""All rows, and how they are run and shown."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import coupling, inference, peers, reading, scaling, switches, training
from benchmarks.row import Outcome, Row
from benchmarks.setting import Setting
from moleflow.utils.env import choose_device
from moleflow.utils.text import refuse_unknown

FAMILIES = (training, coupling, inference, peers, scaling, reading, switches)
ROWS: dict[str, Row] = {name: row for family in FAMILIES for name, row in family.ROWS.items()}


def run(
    names: Sequence[str], quick: bool, device: str, data_path: Path | None, weights: Path | None, as_json: bool
) -> int:
    """Measure rows and print them.

    Args:
        names: which; none: all.
        quick: a look in under a minute.
        device: as for runs.
        data_path, weights: see ``Setting``.
        as_json: print one object, row -> {"value", "target", "pass"} and, where it was not run, "why".

    Returns:
        1 where a row that was measured misses its target, else 0.

    Raises:
        UsageError: a row is unknown, or the device is not there.
    """
    refuse_unknown("--rows", names, ROWS)
    with tempfile.TemporaryDirectory(prefix="moleflow-bench-") as folder:
        setting = Setting(Path(folder), quick, choose_device(device), data_path, weights)
        outcomes = {}
        for name in names or ROWS:
            outcomes[name] = ROWS[name].run(setting)
            if not as_json:
                print(line(name, outcomes[name]), flush=True)
    if as_json:
        print(json.dumps({name: as_object(outcome) for name, outcome in outcomes.items()}, indent=2))
    return int(any(outcome.passed is False for outcome in outcomes.values()))


def line(name: str, outcome: Outcome) -> str:
    """One row of the table that is printed as it grows."""
    row = ROWS[name]
    value = "–" if outcome.value is None else f"{outcome.value:.3g}"
    target = "" if outcome.target is None else f"{row.sign} {outcome.target:.3g}"
    verdict = {None: "", True: "pass", False: "MISS"}[outcome.passed]
    return f"{name:<28} {value:>8} {target:>8} {verdict:<4}  {row.sentence}\n{'':<53}{outcome.detail}"


def as_object(outcome: Outcome) -> dict[str, object]:
    """What ``--json`` prints of a row."""
    found: dict[str, object] = {"value": outcome.value, "target": outcome.target, "pass": outcome.passed}
    return found if outcome.value is not None else {**found, "why": outcome.detail}
