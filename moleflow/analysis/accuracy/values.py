"""What one run says of each class, and how sure differences between runs are."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from moleflow.analysis.statistics.comparison import check_same
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.evaluation.continual import lost, mean_known
from moleflow.evaluation.statistics.bootstrap import draw, mean_over_classes, resampled
from moleflow.evaluation.statistics.counts import Values
from moleflow.utils.errors import UsageError
from moleflow.utils.io import read_json
from moleflow.utils.seed import derive_seed

MEAN = "mean"
QUALITY = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP", "aupro": "AUPRO"}
SHARES = {**QUALITY, "routing": "routing", "fm": "FM"}
"""Fractions, shown in %; FM: best earlier minus final image AUROC given the task."""
COSTS = {"mb": "MB/expert", "seconds": "s/task"}

Row = dict[str, float | None]
Runs = list[FinishedRun]


def class_values(run: FinishedRun) -> dict[str, Row]:
    """Class, or ``MEAN`` -> each of ``SHARES`` (routed) and ``COSTS``."""
    cost = read_json(run.folder / "cost.json")
    rows = {name: _row(run.results, cost, name) for name in run.results["per_class"]}
    means = {key: mean_known(row[key] for row in rows.values()) for key in (*SHARES, *COSTS)}
    return {**rows, MEAN: means}


def _row(results: dict[str, Any], cost: dict[str, Any], name: str) -> Row:
    measured = results["per_class"][name]
    classes = results["tasks"][measured["task"]]
    task = "+".join(sorted(classes))
    seconds = cost.get("cpu_seconds_per_task") or cost["seconds_per_task"]
    return {
        **{metric: measured[metric] for metric in QUALITY},
        "routing": measured["routing_accuracy"],
        "fm": lost(results["matrix"]["image_auroc"], measured["task"]),
        "mb": cost["bytes_per_expert"][task] / len(classes) / 1e6,
        "seconds": seconds[task] / len(classes),
    }


def averaged(runs: Sequence[FinishedRun], name: str, metric: str) -> float | None:
    """Mean over runs of a class's value, or of the mean over classes."""
    return mean_known(class_values(run)[name][metric] for run in runs)


def listed(runs: Sequence[FinishedRun], name: str, metric: str) -> list[float]:
    """The values of all runs that have one."""
    found = (class_values(run)[name][metric] for run in runs)
    return [value for value in found if value is not None]


def of_same_seeds(first: Sequence[FinishedRun], second: Sequence[FinishedRun]) -> tuple[Runs, Runs]:
    """Those of two groups of runs whose seeds both have: others saw other images, and comparing them says nothing."""
    seeds = {run.record["seed"] for run in first} & {run.record["seed"] for run in second}
    mine, other = ([run for run in runs if run.record["seed"] in seeds] for runs in (first, second))
    return mine, other


class Resampled:
    """Values of groups of runs under the same resamplings of the same test images.

    The value of a group is the mean over its runs: seeds and orders are held fixed, images are drawn (percentile
    bootstrap, normal and defective ones apart). Groups that are drawn alike can be subtracted draw by draw.

    Args:
        resamples: how many, two or more.
        seed: of the draws.

    Raises:
        UsageError: there are fewer.
    """

    def __init__(self, resamples: int, seed: int):
        if resamples < 2:
            raise UsageError(f"--resamples expects 2 or more, found {resamples}.")
        self.resamples, self.seed = resamples, seed
        self._known: dict[str, dict[str, Values]] = {}

    def values(self, runs: Sequence[FinishedRun], name: str, metric: str) -> np.ndarray:
        """Draws of a class's metric, or of its mean over classes, (R,); NaN where it does not apply."""
        drawn = [self._of(run) for run in runs]
        if name == MEAN:
            return np.mean([mean_over_classes([own[metric] for own in one.values()]) for one in drawn], axis=0)
        return np.mean([one[name][metric] for one in drawn], axis=0)

    def error(self, runs: Sequence[FinishedRun], name: str, metric: str) -> float | None:
        """Standard error of a group's value."""
        return _deviation(self.values(runs, name, metric))

    def difference_error(
        self, first: Sequence[FinishedRun], second: Sequence[FinishedRun], name: str, metric: str
    ) -> float | None:
        """Standard error of the first group's value minus the second's.

        Raises:
            UsageError: they were not tested on the same images.
        """
        for run in (*first[1:], *second):
            check_same(first[0], run)
        return _deviation(self.values(first, name, metric) - self.values(second, name, metric))

    def _of(self, run: FinishedRun) -> dict[str, Values]:
        key = str(run.folder)
        if key not in self._known:
            self._known[key] = {
                name: resampled(one.values, self.weights(run, name, derive_seed(self.seed, "accuracy", name)))
                for name, one in run.tested.items()
            }
        return self._known[key]

    def weights(self, run: FinishedRun, name: str, seed: int) -> np.ndarray:
        """How often each resampling takes each of a class's images, (R, n); normal and defective ones apart."""
        return draw(run.tested[name].labels, self.resamples, seed)


def _deviation(draws: np.ndarray) -> float | None:
    """Standard deviation of draws; None where the metric does not apply."""
    known = draws[~np.isnan(draws)]
    return float(known.std(ddof=1)) if known.size > 1 else None
