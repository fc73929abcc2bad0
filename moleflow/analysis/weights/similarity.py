"""How alike two weight changes are: linear CKA and principal angles, and what chance gives."""

import numpy as np

from moleflow.analysis.weights.spectra import Array, effective_rank


def linear_cka(one: Array, other: Array) -> float:
    """‖YᵀX‖²_F / (‖XᵀX‖_F·‖YᵀY‖_F) of column-centred X (n, p) and Y (n, q) (Kornblith et al. 2019): 0 to 1.

    Rows are a layer's outputs: 1 means that two changes move the outputs together, up to rotation and scale of the
    inputs. It is 0 where one of them is constant over rows.
    """
    one, other = one - one.mean(0), other - other.mean(0)
    size = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    return float(np.linalg.norm(other.T @ one) ** 2 / size) if size > 0 else 0.0


def main_columns(matrix: Array, share: float = 0.95) -> Array:
    """Orthonormal basis (out, k) of the column directions that hold a share of ‖·‖²_F."""
    left, values, _ = np.linalg.svd(matrix, full_matrices=False)
    return left[:, : effective_rank(values, share)]


def principal_angles(one: Array, other: Array) -> Array:
    """Angles in degrees, ascending, between the subspaces of two orthonormal bases (n, p) and (n, q): min(p, q).

    The sines are used where the cosines are near 1, so that small angles are exact (Björck and Golub 1973).
    """
    if one.shape[1] < other.shape[1]:
        one, other = other, one
    cosines = np.linalg.svd(one.T @ other, compute_uv=False)
    sines = np.linalg.svd(other - one @ (one.T @ other), compute_uv=False)[::-1]
    angles = np.where(cosines**2 < 0.5, np.arccos(np.clip(cosines, 0, 1)), np.arcsin(np.clip(sines, 0, 1)))
    return np.degrees(angles)


def random_basis(dim: int, size: int, generator: np.random.Generator) -> Array:
    """An orthonormal basis (dim, size) of a uniformly random subspace."""
    basis, _ = np.linalg.qr(generator.standard_normal((dim, size)))
    return basis


def chance_angle(dim: int, sizes: tuple[int, int], draws: int, generator: np.random.Generator) -> float:
    """Mean principal angle in degrees between random subspaces of these sizes."""
    drawn = ([random_basis(dim, size, generator) for size in sizes] for _ in range(draws))
    return float(np.mean([principal_angles(one, other).mean() for one, other in drawn]))
