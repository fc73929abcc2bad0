"""The table of settings: every metric as mean ± standard deviation over seeds, routed and with the oracle."""

from collections.abc import Sequence

from moleflow.analysis.statistics.finished import ROUTES, FinishedRun, by_group
from moleflow.analysis.tables import Cell, Table, mean_std
from moleflow.evaluation.report.text import METRIC_TITLES

NOTE = (
    "In %, means over classes after the last task; mean ± sample standard deviation over seeds. Routed: the router "
    "chooses the expert; oracle: every image is given to its own task's."
)


def seeds_table(runs: Sequence[FinishedRun]) -> Table:
    """A row for each setting and route."""
    rows = [_row(group, route, own) for group, own in by_group(runs).items() for route in ROUTES]
    columns = ("setting", "scenario", "order", "route", "seeds", *METRIC_TITLES.values(), "routing")
    return Table("Results over seeds", columns, tuple(rows), NOTE)


def _row(group: str, route: str, runs: list[FinishedRun]) -> tuple[Cell, ...]:
    values = [over_seeds([run.results["final"][route][metric] for run in runs]) for metric in METRIC_TITLES]
    routing = over_seeds([run.results["final"]["routing_accuracy"] for run in runs]) if route == "routed" else None
    record = runs[0].record
    return group, record["scenario"], record["order"], route, len(runs), *values, routing


def over_seeds(fractions: Sequence[float | None]) -> str | None:
    """``mean ± std`` in % of the values that are there; None of none."""
    known = [100 * value for value in fractions if value is not None]
    return mean_std(known) if known else None
