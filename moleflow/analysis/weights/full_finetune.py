"""Is what full fine-tuning changes low-rank? ΔW = W₁ − W₀ of a flow trained on one product, then on another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from torch import Tensor

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Cell, Table
from moleflow.analysis.weights.layers import RANKS, LayerChange, measure_change
from moleflow.analysis.weights.spectra import gaussian
from moleflow.analysis.weights.spectrum_figures import draw_energy, draw_ranks, draw_spectra
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_tensors

RANDOM = "random matrix of this shape and norm"


@dataclass(frozen=True)
class Finetuned:
    """A flow before and after it was fine-tuned as a whole.

    Attributes:
        first, second: the products it was trained on, in this order.
        before, after: files of its shared weights.
        matrix: image AUROC after each task (rows) on each product, None where not yet learned; fractions.
    """

    first: str
    second: str
    before: Path
    after: Path
    matrix: Sequence[Sequence[float | None]]

    @property
    def title(self) -> str:
        """What tables call the pair."""
        return f"{self.first} → {self.second}"


def linear_weights(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Path of a layer -> weight (out, in), for every linear layer of the flow's subnets."""
    ending = ".base.weight"
    return {
        name.removesuffix(ending): tensor.double().numpy()
        for name, tensor in tensors.items()
        if name.startswith("flow.") and name.endswith(ending) and tensor.ndim == 2
    }


def weight_changes(pair: Finetuned, draws: int) -> list[LayerChange]:
    """ΔW of every linear layer, beside random matrices of its shape and norm.

    Raises:
        MoleflowError: the files hold no flow, or flows of different shape, or nothing was learned.
    """
    before, after = (linear_weights(read_tensors(file)) for file in (pair.before, pair.after))
    if not before or {n: w.shape for n, w in before.items()} != {n: w.shape for n, w in after.items()}:
        raise MoleflowError(
            f"{pair.before} and {pair.after} should hold the same linear layers of a flow; they do not."
        )
    found = []
    for place, (name, weight) in enumerate(before.items()):
        change = after[name] - weight
        norm = float(np.linalg.norm(change))
        if norm == 0:
            raise MoleflowError(f"{pair.title}: {name} did not change; was the base frozen?")
        draw = gaussian((change.shape[0], change.shape[1]), norm)
        found.append(measure_change(pair.title, name, change, weight, draw, draws, place))
    return found


def full_finetune(pairs: Sequence[Finetuned], draws: int, command: str = "") -> Analysis:
    """The analysis over pairs of products.

    Args:
        pairs: flows before and after.
        draws: random matrices a layer.
        command: what made it.
    """
    groups = {pair.title: weight_changes(pair, draws) for pair in pairs}
    layers = [change for changes in groups.values() for change in changes]
    numbers: dict[str, Any] = {
        "draws": draws,
        "pairs": {pair.title: {"image_auroc": pair.matrix} | _means(groups[pair.title]) for pair in pairs},
        "layers": [change.numbers() for change in layers],
    }
    pictures = (
        Picture("svd_spectrum", draw_spectra(groups, RANDOM), "Singular values of ΔW, one line a layer."),
        Picture("energy_at_ranks", draw_energy(groups, RANDOM), "Energy of ΔW by rank, mean over layers."),
        Picture("effective_rank_histogram", draw_ranks(layers, RANDOM), "Effective ranks of ΔW at 95 % energy."),
    )
    return Analysis(
        "Full fine-tuning: is the change of the flow's weights low-rank?",
        [finding(groups), forgetting(pairs)],
        numbers,
        command,
        pictures,
        {"effective_ranks": _rank_table(groups), "energy_at_ranks": _energy_table(groups)},
    )


def finding(groups: Mapping[str, Sequence[LayerChange]]) -> str:
    """One paragraph: how concentrated ΔW is, beside chance, with its spread over pairs."""
    layers = [change for changes in groups.values() for change in changes]
    ratios = [mean(change.ranks[0.95].ratio for change in changes) for changes in groups.values()]
    below = sum(change.ranks[0.95].value < change.ranks[0.95].interval[0] for change in layers)
    verdict = (
        "No effect: ΔW is as spread as chance" if below < len(layers) / 2 else "ΔW is more concentrated than chance"
    )
    return (
        f"{verdict}. 95 % of the energy of ΔW lies in {_mean(layers, 0.95):.0f} of "
        f"{mean(len(change.spectrum) for change in layers):.0f} directions (mean over {len(layers)} layers), 99 % in "
        f"{_mean(layers, 0.99):.0f}; of random matrices of the same shape and norm in {_chance(layers, 0.95):.0f} and "
        f"{_chance(layers, 0.99):.0f}. At 95 % that is {100 * mean(ratios):.0f} % of chance (range over "
        f"{len(ratios)} pairs: {100 * min(ratios):.0f} to {100 * max(ratios):.0f} %); {below} of {len(layers)} layers "
        f"lie below 97.5 % of the random draws. The change is {100 * _relative(layers):.0f} % of the weights in norm "
        "(median over layers)."
    )


def forgetting(pairs: Sequence[Finetuned]) -> str:
    """What fine-tuning did to the first product, and reached on the second."""
    told = []
    for pair in pairs:
        learned, kept, second = pair.matrix[0][0], pair.matrix[1][0], pair.matrix[1][1]
        if learned is not None and kept is not None and second is not None:
            told.append(f"{pair.title}: {100 * learned:.1f} → {100 * kept:.1f}, {pair.second} {100 * second:.1f}")
    return (
        f"Image AUROC (%) of the first product before → after, and of the second: {'; '.join(told) or 'not measured'}."
    )


def _mean(layers: Sequence[LayerChange], share: float) -> float:
    return mean(change.ranks[share].value for change in layers)


def _chance(layers: Sequence[LayerChange], share: float) -> float:
    return mean(change.ranks[share].null for change in layers)


def _relative(layers: Sequence[LayerChange]) -> float:
    return float(np.median([change.relative for change in layers if change.relative is not None] or [0.0]))


def _means(layers: Sequence[LayerChange]) -> dict[str, Any]:
    shared = set.intersection(*(set(change.energies) for change in layers))
    return {
        "effective_rank": {str(share): _mean(layers, share) for share in (0.95, 0.99)},
        "effective_rank_random": {str(share): _chance(layers, share) for share in (0.95, 0.99)},
        "energy": {str(rank): mean(c.energies[rank].value for c in layers) for rank in sorted(shared)},
        "energy_random": {str(rank): mean(c.energies[rank].null for c in layers) for rank in sorted(shared)},
        "relative_change_median": _relative(layers),
    }


def _rank_table(groups: Mapping[str, Sequence[LayerChange]]) -> Table:
    rows = tuple(
        (title, len(c), _mean(c, 0.95), _chance(c, 0.95), _mean(c, 0.99), _chance(c, 0.99), 100 * _relative(c))
        for title, c in groups.items()
    )
    columns = ("pair", "layers", "95 %", "95 % random", "99 %", "99 % random", "‖ΔW‖/‖W‖, %")
    return Table("Effective rank of ΔW, mean over layers", columns, rows, "Relative change: median over layers.")


def _energy_table(groups: Mapping[str, Sequence[LayerChange]]) -> Table:
    ranks = [rank for rank in RANKS if all(rank in c.energies for changes in groups.values() for c in changes)]
    rows: list[tuple[Cell, ...]] = []
    for title, changes in groups.items():
        rows.append((title, *(100 * mean(c.energies[rank].value for c in changes) for rank in ranks)))
        rows.append((f"{title}, random", *(100 * mean(c.energies[rank].null for c in changes) for rank in ranks)))
    return Table("Energy of ΔW in the first k directions, %", ("pair", *(f"k = {k}" for k in ranks)), tuple(rows))
