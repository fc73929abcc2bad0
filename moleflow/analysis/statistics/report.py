"""All statistics of runs at once: tables, numbers and sentences, from run folders alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moleflow.analysis.output import Analysis
from moleflow.analysis.statistics.comparison import Row, compare, comparison_table, verdict
from moleflow.analysis.statistics.continual import continual_table
from moleflow.analysis.statistics.defect_sizes import defect_sizes_table
from moleflow.analysis.statistics.defect_types import defect_types_table
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.statistics.intervals import Found, intervals_table, run_intervals
from moleflow.analysis.statistics.seeds import seeds_table
from moleflow.analysis.tables import Table
from moleflow.utils.progress import progress


@dataclass(frozen=True)
class Resampling:
    """How intervals and permutation tests are drawn.

    Attributes:
        count: resamplings, and exchanges.
        seed: of the draws.
    """

    count: int = 1000
    seed: int = 0


def statistics(
    runs: Sequence[FinishedRun],
    pair: tuple[FinishedRun, FinishedRun] | None,
    resampling: Resampling,
    command: str = "",
) -> Analysis:
    """Tables over seeds, continual measures, intervals, defects by type and size, and the comparison of two runs.

    Args:
        runs: finished runs; those without kept scores are in the tables that need none.
        pair: the two runs to compare; None: none.
        resampling: how many draws, and their seed.
        command: what the page names as its command.

    Raises:
        UsageError: the runs of the pair were not tested on the same images.
        MoleflowError: kept scores are damaged, or a run of the pair has none.
    """
    tables = {"seeds": seeds_table(runs), "continual": continual_table(runs)}
    numbers: dict[str, Any] = {"runs": [run.record | {"name": run.name} for run in runs]}
    scored = [run for run in runs if run.has_scores]
    if scored:
        found = {
            str(run.folder): (run, run_intervals(run, resampling.count, resampling.seed))
            for run in progress(scored, len(scored), "intervals", "run")
        }
        tables |= _scored_tables(scored, found, resampling)
        numbers["intervals"] = {run.name: own for run, own in found.values()}
    finding = [_counted(runs, scored)]
    if pair is not None:
        rows = compare(*pair, resampling.count, resampling.seed)
        names = pair[0].name, pair[1].name
        tables["comparison"] = comparison_table(*names, rows, resampling.count)
        numbers["comparison"] = {"first": names[0], "second": names[1], "rows": _plain(rows)}
        finding += verdict(rows, *names)
    return Analysis("Statistics of runs", finding, numbers, command, tables=tables)


def _scored_tables(
    scored: list[FinishedRun], found: dict[str, tuple[FinishedRun, Found]], resampling: Resampling
) -> dict[str, Table]:
    return {
        "intervals": intervals_table(found, resampling.count),
        "defect_types": defect_types_table(scored),
        "defect_sizes": defect_sizes_table(scored),
    }


def _counted(runs: Sequence[FinishedRun], scored: Sequence[FinishedRun]) -> str:
    settings = len({run.row.group for run in runs})
    sentence = f"{len(runs)} runs of {settings} settings."
    lacking = [run.name for run in runs if run not in scored]
    if not lacking:
        return sentence
    return (
        f"{sentence} Without kept scores, so in the first two tables only: {', '.join(lacking)} (`python -m moleflow "
        "evaluate` takes them)."
    )


def _plain(rows: list[Row]) -> list[dict[str, Any]]:
    return [row._asdict() for row in rows]
