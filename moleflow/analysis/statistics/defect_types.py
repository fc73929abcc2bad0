"""The table by type of defect."""

from collections.abc import Sequence

from moleflow.analysis.statistics.breakdown import breakdown_table
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.tables import Table


def defect_types_table(runs: Sequence[FinishedRun]) -> Table:
    """A row for each setting, class and type of defect."""
    return breakdown_table(runs, "Results by type of defect", "defect", lambda tested: tested.types)
