"""Do tasks change the flow in the same directions? CKA and principal angles between their LoRA products."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Table
from moleflow.analysis.weights.association import Correlation, Estimate, Pair, mantel, over_tasks
from moleflow.analysis.weights.deltas import LayerDelta, RunDeltas
from moleflow.analysis.weights.similarity import chance_angle, linear_cka, main_columns, principal_angles
from moleflow.analysis.weights.spectra import Array
from moleflow.analysis.weights.task_figures import draw_pairs, draw_table
from moleflow.utils.errors import UsageError

DEGREES = "mean principal angle, degrees"


@dataclass(frozen=True)
class LayerPair:
    """Two tasks' changes of one layer.

    Attributes:
        pair: the tasks.
        layer: path of the layer.
        cka: of the two changes.
        cka_shuffled: mean CKA of the one's change here and the other's changes of other layers of the same shape; None
            where there is no such layer.
        angle: mean principal angle of the directions that hold 95 % of the energy, degrees.
        angle_random: of random subspaces of the same sizes.
        angle_shuffled: as ``cka_shuffled``.
    """

    pair: Pair
    layer: str
    cka: float
    cka_shuffled: float | None
    angle: float
    angle_random: float
    angle_shuffled: float | None


def layer_pairs(run: RunDeltas, draws: int, seed: int = 0) -> Iterator[LayerPair]:
    """Every pair of tasks and every layer that both changed."""
    bases = {task: {layer: main_columns(d.change) for layer, d in run.deltas[task].items()} for task in run.deltas}
    generator = np.random.default_rng(seed)
    for pair in combinations(run.deltas, 2):
        one, other = (run.deltas[task] for task in pair)
        for layer in (layer for layer in one if layer in other):
            mine, theirs = bases[pair[0]][layer], bases[pair[1]]
            elsewhere = _elsewhere(one, other, layer)
            sizes = (mine.shape[1], theirs[layer].shape[1])
            yield LayerPair(
                pair,
                layer,
                linear_cka(one[layer].change, other[layer].change),
                _mean([linear_cka(one[layer].change, other[place].change) for place in elsewhere]),
                float(principal_angles(mine, theirs[layer]).mean()),
                chance_angle(len(mine), sizes, draws, generator),
                _mean([float(principal_angles(mine, theirs[place]).mean()) for place in elsewhere]),
            )


def cross_task(runs: Sequence[RunDeltas], draws: int, command: str = "") -> Analysis:
    """The analysis over runs of one stream (seeds): values of a pair are means over layers and runs.

    Args:
        runs: their deltas.
        draws: random pairs of subspaces a layer.
        command: what made it.

    Raises:
        UsageError: a run has fewer than two tasks with deltas, or the runs have different tasks.
    """
    for run in runs:
        if len(run.deltas) < 2:
            raise UsageError(f"The run {run.run} has {len(run.deltas)} task with LoRA deltas; two are needed.")
        if set(run.deltas) != set(runs[0].deltas):
            raise UsageError(f"The runs {runs[0].run} and {run.run} learned different tasks; give runs of one stream.")
    found = [pair for run in runs for pair in layer_pairs(run, draws)]
    tasks = list(runs[0].deltas)
    away = np.mean([[[run.distance(a, b) for b in tasks] for a in tasks] for run in runs], axis=0)
    apart = np.mean([change_distances(run, tasks) for run in runs], axis=0)
    follows = mantel(away, apart)
    estimates = {
        "cka": over_tasks(_by_pair(found, "cka")),
        "cka_over_shuffled": _difference(found, "cka", "cka_shuffled"),
        "angle": over_tasks(_by_pair(found, "angle")),
        "angle_below_random": _difference(found, "angle_random", "angle"),
        "angle_below_shuffled": _difference(found, "angle_shuffled", "angle"),
    }
    numbers: dict[str, Any] = {
        "runs": [run.run for run in runs],
        "draws": draws,
        "estimates": {name: value._asdict() if value else None for name, value in estimates.items()},
        "prototype_distance": away.tolist(),
        "change_distance": apart.tolist(),
        "change_vs_prototype_distance": follows._asdict(),
        "tasks": tasks,
        "layer_pairs": [vars(pair) for pair in found],
    }
    return Analysis(
        "LoRA: do tasks share directions?",
        findings(estimates, follows, len(_by_pair(found, "cka")), len(found)),
        numbers,
        command,
        _pictures(found, tasks),
        {"cross_task": _table(found)},
    )


def change_distances(run: RunDeltas, tasks: Sequence[str]) -> Array:
    """1 − cosine of two tasks' changes, all layers as one vector: (tasks, tasks)."""
    layers = sorted(set.intersection(*(set(run.deltas[task]) for task in tasks)))
    flat = np.stack([np.concatenate([run.deltas[task][layer].change.ravel() for layer in layers]) for task in tasks])
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(1 - unit @ unit.T)


def findings(estimates: Mapping[str, Estimate | None], follows: Correlation, pairs: int, values: int) -> list[str]:
    """Paragraphs: angles, CKA, and whether products that look alike are changed alike."""
    closer, over, shuffled = (estimates[n] for n in ("angle_below_random", "cka_over_shuffled", "angle_below_shuffled"))
    angle, cka = estimates["angle"], estimates["cka"]
    assert angle is not None
    assert cka is not None
    similar = "" if follows.p is not None and follows.p < 0.05 else "No effect seen: "
    return [
        f"{pairs} pairs of tasks, {values} pairs of layers; intervals are the jackknife's over tasks.",
        "Mean principal angle of the column directions that hold 95 % of the energy: "
        f"{angle.shown('.1f', '°')}. Random subspaces of the same sizes are farther apart by "
        f"{_told(closer, '.1f', '°')}; the same layer is closer than other layers of its "
        f"shape by {_told(shuffled, '.1f', '°')}.",
        f"CKA: {cka.shown('.3f')}; above that of shuffled layers by {_told(over, '.3f', '')}.",
        "Do products that lie apart change the flow in different directions (1 − cosine of all deltas against the "
        f"distance of prototypes, Mantel)? {similar}{follows.shown()}.",
    ]


def _told(estimate: Estimate | None, form: str, unit: str) -> str:
    if estimate is None:
        return "an unknown amount (no two layers have one shape)"
    none = "" if estimate.excludes_zero or estimate.low is None else ", no effect: the interval holds 0"
    return estimate.shown(form, unit) + none


def _elsewhere(one: Mapping[str, LayerDelta], other: Mapping[str, LayerDelta], layer: str) -> list[str]:
    return [place for place in other if place != layer and other[place].change.shape == one[layer].change.shape]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _by_pair(found: Sequence[LayerPair], name: str) -> dict[Pair, float]:
    values: dict[Pair, list[float]] = {}
    for one in found:
        if getattr(one, name) is not None:
            values.setdefault(one.pair, []).append(getattr(one, name))
    return {pair: float(np.mean(each)) for pair, each in values.items()}


def _difference(found: Sequence[LayerPair], more: str, less: str) -> Estimate | None:
    """Mean of ``more`` − ``less`` over the pairs of layers that have both."""
    both = [one for one in found if getattr(one, more) is not None and getattr(one, less) is not None]
    above, below = _by_pair(both, more), _by_pair(both, less)
    return over_tasks({pair: above[pair] - below[pair] for pair in above}) if above else None


def _pictures(found: Sequence[LayerPair], tasks: Sequence[str]) -> tuple[Picture, ...]:
    angles = {"tasks, same layer": [one.angle for one in found], "random": [one.angle_random for one in found]}
    ckas = {"tasks, same layer": [one.cka for one in found]}
    shuffled = [one.cka_shuffled for one in found if one.cka_shuffled is not None]
    if shuffled:
        ckas["shuffled layers"] = shuffled
    square = np.eye(len(tasks))
    for (one, other), value in _by_pair(found, "cka").items():
        row, column = tasks.index(one), tasks.index(other)
        square[row, column] = square[column, row] = value
    return (
        Picture("principal_angles", draw_pairs(angles, DEGREES), "Angles between tasks' directions, and chance."),
        Picture("cka", draw_pairs(ckas, "linear CKA"), "CKA of tasks' changes, and of shuffled layers."),
        Picture("cka_by_pair", draw_table(square, tasks, "linear CKA"), "Mean CKA over layers by pair of tasks."),
    )


def _table(found: Sequence[LayerPair]) -> Table:
    names = ("angle", "angle_random", "angle_shuffled", "cka", "cka_shuffled")
    columns = [_by_pair(found, name) for name in names]
    rows = tuple((" – ".join(pair), *(column.get(pair) for column in columns)) for pair in columns[0])
    heads = ("pair", "angle, °", "random, °", "shuffled, °", "CKA", "CKA shuffled")
    return Table("Principal angles and CKA, mean over layers", heads, rows, digits=2)
