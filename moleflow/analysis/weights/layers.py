"""One layer's weight change beside random matrices of its shape."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from moleflow.analysis.weights.spectra import (
    Array,
    Draw,
    effective_rank,
    energy_at,
    interval,
    null_spectra,
    singular_values,
)

RANKS = (4, 8, 16, 32, 64, 128)
"""Where the energy is read."""

SHARES = (0.95, 0.99)
"""Of the energy, for effective ranks."""


@dataclass(frozen=True)
class Measured:
    """A quantity of a matrix and what random matrices of the same shape and norm have.

    Attributes:
        value: of the matrix.
        null: mean over random matrices.
        interval: 2.5 and 97.5 % of them.
    """

    value: float
    null: float
    interval: tuple[float, float]

    @property
    def ratio(self) -> float:
        """The matrix's value as a share of the random mean."""
        return self.value / self.null

    @property
    def outside(self) -> bool:
        """Whether the value lies outside what random matrices show."""
        return not self.interval[0] <= self.value <= self.interval[1]


@dataclass(frozen=True)
class LayerChange:
    """The spectrum of one layer's change.

    Attributes:
        task: whose change it is.
        layer: path of the layer in the model.
        shape: (out, in).
        norm: ‖Δ‖_F.
        relative: ‖Δ‖_F / ‖W‖_F of the weight it is added to; None where that is zero.
        spectrum: σ of the change, (min(out, in),).
        null: mean σ of random matrices, (min(out, in),).
        ranks: share of the energy -> effective rank.
        energies: rank -> share of the energy, for ranks the layer has.
    """

    task: str
    layer: str
    shape: tuple[int, int]
    norm: float
    relative: float | None
    spectrum: Array
    null: Array
    ranks: dict[float, Measured]
    energies: dict[int, Measured]

    def numbers(self) -> dict[str, Any]:
        """What the JSON says of it."""
        plain = {**asdict(self), "spectrum": _rounded(self.spectrum), "null": _rounded(self.null)}
        for name in ("ranks", "energies"):
            plain[name] = {str(key): asdict(value) for key, value in getattr(self, name).items()}
        return plain


def measure_change(
    task: str, layer: str, change: Array, weight: Array, draw: Draw, draws: int, seed: int = 0
) -> LayerChange:
    """Set a change beside random matrices.

    Args:
        task, layer: whose it is.
        change: Δ, (out, in), not zero.
        weight: what it is added to, (out, in).
        draw: makes a random matrix.
        draws: how many.
        seed: of the random matrices.
    """
    values, null = singular_values(change), null_spectra(draw, draws, seed)
    norm, before = float(np.linalg.norm(change)), float(np.linalg.norm(weight))
    ranks = {
        share: _beside(effective_rank(values, share), [effective_rank(n, share) for n in null]) for share in SHARES
    }
    shown = [rank for rank in RANKS if rank < len(values)]
    energies = {rank: _beside(energy_at(values, rank), [energy_at(n, rank) for n in null]) for rank in shown}
    relative = norm / before if before > 0 else None
    shape = (change.shape[0], change.shape[1])
    return LayerChange(task, layer, shape, norm, relative, values, null.mean(0), ranks, energies)


def _beside(value: float, null: Sequence[float]) -> Measured:
    return Measured(float(value), float(np.mean(null)), interval(null))


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
