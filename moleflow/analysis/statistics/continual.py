"""The table of what a stream does to its tasks: forgetting, transfer, incremental mean, pooled AUROC; both routes."""

from collections.abc import Sequence

from moleflow.analysis.statistics.finished import FinishedRun, by_group
from moleflow.analysis.statistics.seeds import over_seeds
from moleflow.analysis.tables import Cell, Table
from moleflow.evaluation.report.text import METRIC_TITLES

BLOCKS = {"routed": "continual_routed", "oracle": "continual"}
"""Route -> its block of results.json."""

MEASURES = {"fm": "FM", "bwt": "BWT", "average_incremental": "incremental mean"}
METRICS = ("image_auroc", "pixel_ap")
NOTE = (
    "In %, mean ± sample standard deviation over seeds. FM: best earlier minus final value, mean over old tasks; BWT: "
    "final value minus the one right after the task was learned; incremental mean: over all evaluations, of the mean "
    "over tasks seen so far. Pooled: image AUROC over the images of all classes together."
)


def continual_table(runs: Sequence[FinishedRun]) -> Table:
    """A row for each setting and route."""
    titles = [f"{title} {METRIC_TITLES[metric]}" for title in MEASURES.values() for metric in METRICS]
    columns = ("setting", "tasks", "route", "seeds", *titles, "pooled raw", "pooled calibrated")
    rows = [_row(group, route, own) for group, own in by_group(runs).items() for route in BLOCKS]
    return Table("Continual measures over seeds", columns, tuple(rows), NOTE)


def _row(group: str, route: str, runs: list[FinishedRun]) -> tuple[Cell, ...]:
    blocks = [run.results[BLOCKS[route]] for run in runs]
    values = [over_seeds([block[name][metric] for block in blocks]) for name in MEASURES for metric in METRICS]
    pooled: list[Cell] = [None, None]
    if route == "routed":
        found = [run.results["final"]["pooled_image_auroc"] for run in runs]
        pooled = [over_seeds([one[scale] for one in found]) for scale in ("raw", "calibrated")]
    return group, len(runs[0].results["tasks"]), route, len(runs), *values, *pooled
