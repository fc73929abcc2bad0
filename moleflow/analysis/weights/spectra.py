"""Singular values of weight changes: effective rank, energy by rank, and what random matrices show."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Draw = Callable[[np.random.Generator], Array]
"""Makes one random matrix (out, in)."""


def singular_values(matrix: Array) -> Array:
    """σ₁ ≥ σ₂ ≥ … of a matrix (out, in): min(out, in) values."""
    return np.linalg.svd(np.asarray(matrix, dtype=np.float64), compute_uv=False)


def energy(values: Array) -> Array:
    """Share of ‖·‖²_F in the first k directions, k = 1, 2, …: Σ_{i≤k} σᵢ² / Σ σᵢ².

    Raises:
        ValueError: the matrix is zero: it has no directions.
    """
    squares = np.square(values)
    if not squares.sum() > 0:
        raise ValueError("a matrix of zeros has no spectrum: nothing was learned there")
    return np.cumsum(squares) / squares.sum()


def effective_rank(values: Array, share: float) -> int:
    """The fewest directions that hold a share (0..1] of ‖·‖²_F."""
    return int(np.searchsorted(energy(values), share - 1e-12) + 1)


def energy_at(values: Array, rank: int) -> float:
    """Share of ‖·‖²_F in the first ``rank`` directions; 1 where there are no more."""
    return float(energy(values)[min(rank, len(values)) - 1])


def gaussian(shape: tuple[int, int], norm: float) -> Draw:
    """Draws matrices of independent normal entries, scaled to a Frobenius norm."""

    def draw(generator: np.random.Generator) -> Array:
        matrix = generator.standard_normal(shape)
        return matrix * (norm / np.linalg.norm(matrix))

    return draw


def random_product(shape: tuple[int, int], rank: int, norm: float) -> Draw:
    """Draws B·A of random normal factors (out, rank) and (rank, in), scaled to a Frobenius norm."""

    def draw(generator: np.random.Generator) -> Array:
        product = generator.standard_normal((shape[0], rank)) @ generator.standard_normal((rank, shape[1]))
        return product * (norm / np.linalg.norm(product))

    return draw


def null_spectra(draw: Draw, draws: int, seed: int) -> Array:
    """Singular values of random matrices: (draws, min(out, in))."""
    generator = np.random.default_rng(seed)
    return np.stack([singular_values(draw(generator)) for _ in range(draws)])


def interval(values: Sequence[float] | Array) -> tuple[float, float]:
    """2.5 % and 97.5 % quantiles."""
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [0.025, 0.975])
    return float(low), float(high)
