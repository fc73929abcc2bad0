"""Fitted to one severity, tested on another."""

from pathlib import Path

from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, RESULT, STUDY, cell
from moleflow.study.methods import METHODS
from moleflow.study.phases import look
from moleflow.study.results import metrics_of
from moleflow.study.sides.common import Content
from moleflow.utils.io import read_json


def generalisation(bench: Bench, out: Path) -> Content:
    """A row for each method, class and pair of severities; those the phases measured are taken from there."""
    methods = read_json(out / STUDY)["methods"]
    return {"rows": [row for method in methods for name in bench.classes for row in _of(bench, out, method, name)]}


def _of(bench: Bench, out: Path, method: str, name: str) -> list[Content]:
    row = lambda trained, tested, metrics: {
        "method": method, "class": name, "trained_on": trained, "tested_on": tested, **metrics
    }  # fmt: skip
    result = lambda severity, phase: read_json(cell(out, method, severity, phase, name) / RESULT)
    rows = [row(CLEAN, CLEAN, result(CLEAN, CLEAN)["metrics"])]
    made = METHODS[method](bench)
    for trained in bench.severities:
        rows.append(row(CLEAN, trained, result(trained, "none")["metrics"]))
        full = result(trained, "full")
        rows += [row(trained, trained, full["metrics"]), row(trained, CLEAN, full["clean_after"]["metrics"])]
        detector = made.fitted(trained, (name,))
        for tested in bench.severities:
            if tested != trained:
                seen = look(bench, detector, tested, name, "test")
                rows.append(row(trained, tested, metrics_of(bench, seen.scored)))
    return rows
