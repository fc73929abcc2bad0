"""From evaluation rows to results.json and results.csv; the keys are a stable contract that scripts read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from moleflow.evaluation.continual import average_incremental, backward_transfer, forgetting, mean_known
from moleflow.evaluation.metrics import IMAGE_METRICS, PIXEL_METRICS
from moleflow.evaluation.thresholds import DECISION_METRICS
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json, write_rows

SCHEMA = 1
METRICS = (*IMAGE_METRICS, *PIXEL_METRICS)
NOTHING_SKIPPED: Mapping[str, Any] = {"count": 0, "images": []}
ROUTES = ("routed", "oracle")
"""Who chose the expert of each image: the router, or the image's own task."""
INSIDE = "inside"
"""Key of results.json: that it is of training images in the place of test images, and of which."""
SOURCES = "sources"
"""Under it: name of a damaged image -> that of the training image it was."""

Values = dict[str, float | None]
Grid = list[list[float | None]]


@dataclass(frozen=True)
class ClassResult:
    """The metrics of one class in one evaluation.

    Attributes:
        class_name: the product class.
        task: index of the task that learned it.
        oracle: value of each of `METRICS` when every image is given to its own task's expert.
        routed: the same when the router chooses.
        routing_accuracy: share of the class's test images sent to the right task; None without a router.
        reference_n: normal images of its task, each scored as a new one, that calibration and threshold rest on.
        unknown: share of its test images called unknown, for "normal" and "defect"; None without an open set.
        promised_rate: share of normal images that its task's threshold promised to exceed at most.
        decisions: for "routed" and "oracle" the value of each of `DECISION_METRICS` at the thresholds.
    """

    class_name: str
    task: int
    oracle: Values
    routed: Values
    routing_accuracy: float | None
    reference_n: int | None = None
    unknown: Values = field(default_factory=lambda: {"normal": None, "defect": None})
    promised_rate: float | None = None
    decisions: dict[str, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Everything measured after one task: one row of the task matrix.

    Attributes:
        after_task: index of the task learned last.
        classes: one result for each class seen so far.
        pooled_raw: image AUROC over the images of all classes together, scores as they are.
        pooled_calibrated: the same on scores calibrated per task; None where a task has too few reference scores.
        pooled_unit: what calibrated scores are counted in; empty in rows that older versions stored.
    """

    after_task: int
    classes: tuple[ClassResult, ...]
    pooled_raw: float | None
    pooled_calibrated: float | None = None
    pooled_unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` gives an equal object back."""
        return {**asdict(self), "classes": [asdict(result) for result in self.classes]}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "Evaluation":
        """Read a stored row.

        Raises:
            MoleflowError: a key is missing or unknown.
        """
        try:
            return cls(**{**row, "classes": tuple(ClassResult(**result) for result in row["classes"])})
        except (KeyError, TypeError) as error:
            raise MoleflowError(
                f"a stored evaluation row cannot be read ({error}): it is damaged or from another version; "
                "evaluate the run again"
            ) from error


def read_evaluation(file: Path) -> Evaluation:
    """One stored row of the task matrix.

    Raises:
        MoleflowError: it is damaged.
    """
    try:
        return Evaluation.from_dict(read_json(file))
    except MoleflowError as error:
        raise MoleflowError(
            f"{file} is no row of the task matrix ({str(error).rstrip('.')}): remove it, and --resume takes it again."
        ) from error


def build_results(
    name: str,
    tasks: Sequence[Sequence[str]],
    evaluations: Iterable[Evaluation],
    record: Mapping[str, Any] = MappingProxyType({}),
    skipped: Mapping[str, Any] = NOTHING_SKIPPED,
) -> dict[str, Any]:
    """The content of results.json.

    A value of a task is the mean over its classes, a final value the mean over all classes of the last
    evaluation; None is left out of every mean. A stream that is only partly evaluated gives the numbers
    as far as it got.

    Args:
        name: the experiment.
        tasks: the classes of each task, in the stream's order, also those still to come.
        evaluations: in any order; if a task was evaluated twice, the later one in the sequence counts.
        record: what was run, as ``run_record`` tells it; empty where nobody knows.
        skipped: the images that were left out: ``count``, and ``images`` with path, class_name, split and reason.

    Raises:
        MoleflowError: there is no evaluation, or one of a task that the stream does not have.
    """
    by_task = {evaluation.after_task: evaluation for evaluation in evaluations}
    _check(by_task, len(tasks))
    last = by_task[max(by_task)]
    matrix = _matrices(by_task, len(tasks), lambda result: result.oracle)
    matrix_routed = _matrices(by_task, len(tasks), lambda result: result.routed)
    return {
        "schema": SCHEMA,
        "name": name,
        "tasks": [list(classes) for classes in tasks],
        "run": dict(record),
        "final": _final(last),
        "continual": _continual(matrix),
        "continual_routed": _continual(matrix_routed),
        "skipped": dict(skipped),
        "per_class": {result.class_name: _class_row(result) for result in last.classes},
        "matrix": matrix,
        "matrix_routed": matrix_routed,
    }


def write_csv(results: dict[str, Any], path: Path) -> None:
    """One row a class (routed metrics, routing accuracy, oracle metrics), then their mean; None is empty."""
    rows = [_csv_row(name, row["task"], row, row["oracle"]) for name, row in results["per_class"].items()]
    final = results["final"]
    routed = {**final["routed"], "routing_accuracy": final["routing_accuracy"]}
    oracle_columns = [f"oracle_{metric}" for metric in METRICS]
    header = ["class", "task", *METRICS, "routing_accuracy", *oracle_columns]
    write_rows(path, [header, *rows, _csv_row("mean", "", routed, final["oracle"])])


def _check(by_task: dict[int, Evaluation], tasks: int) -> None:
    if not by_task:
        raise MoleflowError("no task has been evaluated yet, so there are no results: train one first")
    if not 0 <= min(by_task) <= max(by_task) < tasks:
        raise MoleflowError(
            f"expected evaluations after tasks 0 to {tasks - 1}, found one after task {max(by_task)}: "
            "the evaluations belong to another stream"
        )


def _final(last: Evaluation) -> dict[str, Any]:
    return {
        "routed": _means(result.routed for result in last.classes),
        "oracle": _means(result.oracle for result in last.classes),
        "pooled_image_auroc": {
            "raw": last.pooled_raw,
            "calibrated": last.pooled_calibrated,
            "unit": last.pooled_unit,
        },
        "routing_accuracy": mean_known(result.routing_accuracy for result in last.classes),
        "decisions": {
            "promised_rate": mean_known(result.promised_rate for result in last.classes),
            **{
                route: _means((result.decisions.get(route, {}) for result in last.classes), DECISION_METRICS)
                for route in ROUTES
            },
        },
    }


def _means(rows: Iterable[Values], metrics: Sequence[str] = METRICS) -> Values:
    """Mean of each metric over rows, leaving out None."""
    kept = list(rows)
    return {metric: mean_known(row.get(metric) for row in kept) for metric in metrics}


def _matrices(by_task: dict[int, Evaluation], tasks: int, route: Callable[[ClassResult], Values]) -> dict[str, Grid]:
    """For each metric the rows 0 … last evaluated task, `tasks` wide; a row never taken is all None."""
    cells = {
        (after, task): _means(route(result) for result in evaluation.classes if result.task == task)
        for after, evaluation in by_task.items()
        for task in range(after + 1)
    }
    nothing: Values = {}
    rows = range(max(by_task) + 1)
    return {
        metric: [[cells.get((row, task), nothing).get(metric) for task in range(tasks)] for row in rows]
        for metric in METRICS
    }


def _continual(matrices: dict[str, Grid]) -> dict[str, Values]:
    return {
        "fm": {metric: forgetting(matrix) for metric, matrix in matrices.items()},
        "bwt": {metric: backward_transfer(matrix) for metric, matrix in matrices.items()},
        "average_incremental": {metric: average_incremental(matrix) for metric, matrix in matrices.items()},
    }


def _class_row(result: ClassResult) -> dict[str, Any]:
    return {
        **{metric: result.routed.get(metric) for metric in METRICS},
        "task": result.task,
        "routing_accuracy": result.routing_accuracy,
        "reference_n": result.reference_n,
        "unknown": result.unknown,
        "oracle": {metric: result.oracle.get(metric) for metric in METRICS},
        "decisions": {"promised_rate": result.promised_rate, **result.decisions},
    }


def _csv_row(name: str, task: int | str, routed: dict[str, Any], oracle: Values) -> list[Any]:
    """The cells of one line; csv writes None as an empty cell."""
    keys = (*METRICS, "routing_accuracy")
    return [name, task, *(routed[key] for key in keys), *(oracle[metric] for metric in METRICS)]
