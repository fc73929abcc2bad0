"""Are LoRA updates of lower rank than they could be? Spectra of B·A per task and layer, beside random products."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Table
from moleflow.analysis.weights.association import spearman
from moleflow.analysis.weights.deltas import RunDeltas
from moleflow.analysis.weights.layers import LayerChange, measure_change
from moleflow.analysis.weights.spectra import random_product
from moleflow.analysis.weights.spectrum_figures import draw_energy, draw_ranks, draw_spectra
from moleflow.analysis.weights.task_figures import draw_norms
from moleflow.utils.errors import UsageError

RANDOM = "product of random factors"

Groups = Mapping[str, Sequence[LayerChange]]


def task_changes(run: RunDeltas, task: str, draws: int) -> list[LayerChange]:
    """B·A of every layer, beside products of random factors of the same shapes."""
    found = []
    for place, (layer, delta) in enumerate(run.deltas[task].items()):
        shape = (delta.change.shape[0], delta.change.shape[1])
        draw = random_product(shape, delta.rank, float(np.linalg.norm(delta.change)))
        found.append(measure_change(task, layer, delta.change, delta.weight, draw, draws, place))
    return found


def lora_rank(run: RunDeltas, draws: int, command: str = "") -> Analysis:
    """The analysis of one run.

    Args:
        run: its deltas.
        draws: random products a layer.
        command: what made it.

    Raises:
        UsageError: no task has a delta that is not zero.
    """
    if not run.deltas:
        raise UsageError(f"No task of the run {run.run} has learned a LoRA delta: there is nothing to look at.")
    groups = {task: task_changes(run, task, draws) for task in run.deltas}
    layers = [change for changes in groups.values() for change in changes]
    norms = relative_norms(run)
    later = {task: norm for task, norm in norms.items() if task != run.tasks[0]}
    away = {task: run.distance(task, run.tasks[0]) for task in later}
    grows = spearman(list(later.values()), list(away.values()))
    numbers: dict[str, Any] = {
        "run": run.run,
        "draws": draws,
        "relative_norm": norms,
        "distance_to_first": away,
        "norm_vs_distance": grows._asdict(),
        "tasks": {task: _means(changes) for task, changes in groups.items()},
        "layers": [change.numbers() for change in layers],
    }
    pictures = (
        Picture("lora_spectrum", draw_spectra(groups, RANDOM), "Singular values of B·A, one line a layer."),
        Picture("lora_energy_at_ranks", draw_energy(groups, RANDOM), "Energy of B·A by rank, mean over layers."),
        Picture("lora_effective_rank", draw_ranks(layers, RANDOM), "Effective ranks of B·A at 95 % energy."),
        Picture("lora_norm_vs_distance", draw_norms(later, away, run.tasks[0]), "Size of B·A by distance of products."),
    )
    told = (
        "Does ‖B·A‖ grow with the distance of a product's prototype from the first one's? "
        f"{'' if grows.p is not None and grows.p < 0.05 else 'No effect seen: '}{grows.shown()}."
    )
    title = "LoRA: spectra of the learned products"
    tables = {"lora_ranks": _table(groups, norms, run.deltas)}
    return Analysis(title, [finding(groups), told], numbers, command, pictures, tables)


def relative_norms(run: RunDeltas) -> dict[str, float]:
    """‖B·A‖ over all layers of a task, as a share of ‖W‖ over the same layers."""
    return {
        task: float(
            np.sqrt(sum(np.sum(np.square(d.change)) for d in deltas.values()))
            / np.sqrt(sum(np.sum(np.square(d.weight)) for d in deltas.values()))
        )
        for task, deltas in run.deltas.items()
    }


def finding(groups: Groups) -> str:
    """One paragraph: how concentrated B·A is, beside chance, with its spread over tasks."""
    layers = [change for changes in groups.values() for change in changes]
    mine, chance = (_means(layers)[name] for name in ("effective_rank", "effective_rank_random"))
    ratios = [mean(change.ranks[0.95].ratio for change in changes) for changes in groups.values()]
    below = sum(change.ranks[0.95].value < change.ranks[0.95].interval[0] for change in layers)
    verdict = (
        "No effect: products are as spread as chance"
        if below < len(layers) / 2
        else "Products are more concentrated than chance"
    )
    return (
        f"{verdict}. 95 % of the energy of B·A lies in {mine['0.95']:.1f} directions (mean over {len(layers)} layers "
        f"of {len(groups)} tasks), 99 % in {mine['0.99']:.1f}; of products of random factors of the same shapes in "
        f"{chance['0.95']:.1f} and {chance['0.99']:.1f}. At 95 % that is {100 * mean(ratios):.0f} % of chance (range "
        f"over tasks: {100 * min(ratios):.0f} to {100 * max(ratios):.0f} %); {below} of {len(layers)} layers lie below "
        "97.5 % of the random draws."
    )


def _means(changes: Sequence[LayerChange]) -> dict[str, Any]:
    return {
        "effective_rank": {str(s): mean(c.ranks[s].value for c in changes) for s in (0.95, 0.99)},
        "effective_rank_random": {str(s): mean(c.ranks[s].null for c in changes) for s in (0.95, 0.99)},
        "ratio": mean(c.ranks[0.95].ratio for c in changes),
    }


def _table(groups: Groups, norms: Mapping[str, float], deltas: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for task, changes in groups.items():
        found = _means(changes)
        mine, chance = found["effective_rank"], found["effective_rank_random"]
        most = max(delta.rank for delta in deltas[task].values())
        ranks = (mine["0.95"], chance["0.95"], 100 * found["ratio"], mine["0.99"], chance["0.99"])
        rows.append((task, len(changes), most, *ranks, 100 * norms[task]))
    columns = ("task", "layers", "rank r", "95 %", "95 % random", "share of random, %", "99 %", "99 % random",
               "‖B·A‖/‖W‖, %")  # fmt: skip
    return Table("Effective rank of B·A, mean over layers", columns, tuple(rows))
