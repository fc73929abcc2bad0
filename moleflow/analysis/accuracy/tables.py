"""The tables of documents/accuracy.md; cells in %, unless a column says otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from moleflow.analysis.accuracy.folder import PRESET, Backbone
from moleflow.analysis.accuracy.values import (
    COSTS,
    MEAN,
    QUALITY,
    SHARES,
    Resampled,
    averaged,
    listed,
    of_same_seeds,
)
from moleflow.analysis.statistics.defect_types import defect_types_table
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.statistics.seeds import over_seeds
from moleflow.analysis.tables import Cell, Table, mean_std
from moleflow.evaluation.continual import mean_known

TITLES = {
    "gaussian_per_task": "Gaussian per task", "patchcore_1": "PatchCore 1 %", "patchcore_10": "PatchCore 10 %",
    "padim": "PaDiM", "dfm": "DFM", "fastflow": "FastFlow", PRESET: "MoLE-Flow",
}  # fmt: skip
COMPARED = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}
POOLED = ("raw", "calibrated")
NORMAL_95 = 1.96
"""Standard errors on either side that hold 95 % of a normal distribution."""
Value = TypeVar("Value")


def runs_table(backbones: Sequence[Backbone]) -> Table:
    """A row for each run of the preset: what seed and order change."""
    rows = [_run_row(one.name, run) for one in backbones for run in one.preset]
    columns = ("backbone", "run", *SHARES.values(), "pooled raw", "pooled calibrated")
    note = "Routed, means over classes; FM: of image AUROC, given the task; pooled: image AUROC over all images."
    return Table("Every run of the preset", columns, tuple(rows), note)


def classes_table(backbones: Sequence[Backbone]) -> Table:
    """A row for each class: mean ± standard deviation over seeds and orders."""
    rows = [
        (one.name, name, len(one.preset), *(over_seeds(listed(one.preset, name, key)) for key in SHARES),
         *(mean_std(listed(one.preset, name, key)) for key in COSTS))
        for one in backbones for name in _classes(one)
    ]  # fmt: skip
    columns = ("backbone", "class", "runs", *SHARES.values(), *COSTS.values())
    note = (
        "MoLE-Flow, routed: mean ± sample standard deviation over the runs of all seeds and orders. FM: best earlier "
        "minus final image AUROC given the task (– in no run learned before another task). s/task: wall-clock seconds "
        "of training, features not counted."
    )
    return Table("The preset, class by class", columns, tuple(rows), note)


def peers_table(backbones: Sequence[Backbone]) -> Table:
    """A row for each method: image AUROC / pixel AP of each class, and what it costs."""
    names = list(dict.fromkeys(name for one in backbones for name in _classes(one) if name != MEAN))
    rows = [_method_row(one.name, method, runs, names) for one in backbones for method, runs in _methods(one).items()]
    columns = ("backbone", "method", "runs", *names, *(f"mean {title}" for title in QUALITY.values()),
               "pooled raw", "pooled calibrated", *COSTS.values())  # fmt: skip
    note = (
        "Routed by the same router; a class's cell is image AUROC / pixel AP. MoLE-Flow is the mean over its runs, a "
        "peer one run. Peers have no calibration. s/task: seconds of training (CPU time of peers, wall-clock time of "
        "MoLE-Flow)."
    )
    return Table("Beside the peers, on the same features and images", columns, tuple(rows), note)


def differences_table(backbones: Sequence[Backbone], resampled: Resampled) -> Table:
    """A row for each peer and class: MoLE-Flow minus the peer, with its bootstrap standard error."""
    rows = [
        (one.name, title_of(peer), name, *_compared(one.preset, (run,), name, resampled))
        for one in backbones for peer, run in _ordered(one.peers).items() for name in _classes(one)
    ]  # fmt: skip
    parts = [f"{title} {part}" for title in COMPARED.values() for part in ("here", "peer", "difference", "SE")]
    note = (
        f"MoLE-Flow (mean over its runs) minus the peer. SE: standard deviation of the difference over "
        f"{resampled.resamples} resamplings of the test images, the same for both; seeds and orders are held fixed."
    )
    return Table("Differences to the peers", ("backbone", "peer", "class", *parts), tuple(rows), note)


def undone_table(backbones: Sequence[Backbone], resampled: Resampled) -> Table:
    """A row for each choice of the preset: what it adds, with its bootstrap interval."""
    rows = [
        (one.name, choice, *_effect((first_of(one),), (run,), resampled))
        for one in backbones for choice, run in one.undone.items()
    ]  # fmt: skip
    parts = [f"{title} {part}" for title in COMPARED.values() for part in ("without", "effect", "95 % from", "to")]
    note = (
        f"Mean over classes. Effect: the preset minus the same run without the choice, first seed, order given. 95 %: "
        f"the effect ± 1.96 bootstrap standard errors over {resampled.resamples} resamplings of the test images, the "
        "same for both; seed and order are held fixed."
    )
    return Table("What each choice adds", ("backbone", "without", *parts), tuple(rows), note)


def few_shot_table(backbones: Sequence[Backbone], resampled: Resampled) -> Table:
    """A row for each number of training images and method."""
    rows = [
        _few_row(one.name, images, method, runs, methods.get(PRESET, ()), resampled)
        for one in backbones for images, methods in one.few.items() for method, runs in _ordered(methods).items()
    ]  # fmt: skip
    parts = [
        f"{title}{part}" for title in COMPARED.values() for part in ("", " SE", ", MoLE-Flow ahead by", ", SE of that")
    ]
    note = (
        "Mean ± sample standard deviation over seeds, each with its own draw of images, the same for all methods; a "
        f"tenth of them, one at least, is held out. SE: bootstrap over test images, {resampled.resamples} resamplings. "
        "Ahead: MoLE-Flow minus the method, over the seeds that both have."
    )
    return Table("Few training images", ("backbone", "images", "method", "seeds", *parts), tuple(rows), note)


def defects_table(backbones: Sequence[Backbone]) -> Table:
    """A row for each type of defect, over all seeds and orders."""
    runs = [replace(run, row=replace(run.row, group=one.name)) for one in backbones for run in one.preset]
    found = defect_types_table([run for run in runs if run.has_scores])
    note = found.note.replace("over seeds", "over seeds and orders")
    return replace(found, columns=("backbone", *found.columns[1:]), note=note)


def title_of(method: str) -> str:
    """A method's name, written out."""
    return TITLES.get(method, method)


def first_of(one: Backbone) -> FinishedRun:
    """The preset's run of the first seed, in the order given where it was run so."""
    return min(one.preset, key=lambda run: (not run.name.startswith("given"), run.record["seed"]))


def difference(first: Sequence[FinishedRun], second: Sequence[FinishedRun], name: str, metric: str) -> float | None:
    """Mean of the first runs minus mean of the second, a fraction; None where one of them has none."""
    values = averaged(first, name, metric), averaged(second, name, metric)
    return None if values[0] is None or values[1] is None else values[0] - values[1]


def _run_row(backbone: str, run: FinishedRun) -> tuple[Cell, ...]:
    pooled = run.results["final"]["pooled_image_auroc"]
    shares = [averaged([run], MEAN, key) for key in SHARES]
    return backbone, run.name, *map(_percent, shares), *(_percent(pooled[scale]) for scale in POOLED)


def _method_row(backbone: str, method: str, runs: Sequence[FinishedRun], names: Sequence[str]) -> tuple[Cell, ...]:
    tested = runs[0].results["per_class"]
    cells = [_pair(runs, name) if name in tested else None for name in names]
    means = [_percent(averaged(runs, MEAN, metric)) for metric in QUALITY]
    pooled = [mean_known(run.results["final"]["pooled_image_auroc"][scale] for run in runs) for scale in POOLED]
    costs = [averaged(runs, MEAN, key) for key in COSTS]
    return (backbone, title_of(method), len(runs), *cells, *means, *map(_percent, pooled), *costs)


def _pair(runs: Sequence[FinishedRun], name: str) -> str:
    shown = [_percent(averaged(runs, name, metric)) for metric in COMPARED]
    return " / ".join("–" if value is None else f"{value:z.1f}" for value in shown)


def _compared(
    first: Sequence[FinishedRun], second: Sequence[FinishedRun], name: str, resampled: Resampled
) -> list[Cell]:
    cells: list[float | None] = []
    for metric in COMPARED:
        cells += [averaged(first, name, metric), averaged(second, name, metric)]
        cells += [difference(first, second, name, metric), resampled.difference_error(first, second, name, metric)]
    return [_percent(cell) for cell in cells]


def _effect(first: Sequence[FinishedRun], second: Sequence[FinishedRun], resampled: Resampled) -> list[Cell]:
    cells: list[Cell] = []
    for metric in COMPARED:
        gap, error = difference(first, second, MEAN, metric), resampled.difference_error(first, second, MEAN, metric)
        spread = None if gap is None or error is None else NORMAL_95 * error
        cells += [_percent(averaged(second, MEAN, metric)), _percent(gap)]
        cells += [None, None] if gap is None or spread is None else [100 * (gap - spread), 100 * (gap + spread)]
    return cells


def _few_row(
    backbone: str, images: int, method: str, runs: Sequence[FinishedRun], preset: Sequence[FinishedRun],
    resampled: Resampled,
) -> tuple[Cell, ...]:  # fmt: skip
    cells: list[Cell] = []
    for metric in COMPARED:
        cells += [over_seeds(listed(runs, MEAN, metric)), _percent(resampled.error(runs, MEAN, metric))]
        ours, theirs = of_same_seeds(preset, runs)
        apart = method == PRESET or not ours
        cells.append(None if apart else _percent(difference(ours, theirs, MEAN, metric)))
        cells.append(None if apart else _percent(resampled.difference_error(ours, theirs, MEAN, metric)))
    return backbone, images, title_of(method), len(runs), *cells


def _methods(one: Backbone) -> dict[str, tuple[FinishedRun, ...]]:
    return _ordered({PRESET: one.preset, **{name: (run,) for name, run in one.peers.items()}})


def _ordered(methods: Mapping[str, Value]) -> dict[str, Value]:
    """Methods in the tables' order, those nobody knows at the end."""
    known = [name for name in TITLES if name in methods]
    return {name: methods[name] for name in (*known, *(name for name in methods if name not in TITLES))}


def _classes(one: Backbone) -> list[str]:
    return [*sorted(one.preset[0].record["classes"]), MEAN]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
