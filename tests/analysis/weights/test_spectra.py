"""Spectra against closed forms."""

import numpy as np
import pytest

from moleflow.analysis.weights.layers import measure_change
from moleflow.analysis.weights.spectra import (
    effective_rank,
    energy,
    energy_at,
    gaussian,
    interval,
    null_spectra,
    random_product,
    singular_values,
)

DRAW = np.random.default_rng(0)


def orthonormal(rows, columns):
    return np.linalg.qr(DRAW.standard_normal((rows, columns)))[0]


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_matrix_of_equal_directions_has_its_rank(rank):
    matrix = 5 * orthonormal(20, rank) @ orthonormal(12, rank).T
    values = singular_values(matrix)
    assert len(values) == 12
    assert values[:rank] == pytest.approx(np.full(rank, 5.0))
    assert values[rank:] == pytest.approx(np.zeros(12 - rank), abs=1e-12)
    assert effective_rank(values, 1.0) == effective_rank(values, 0.99) == rank
    assert effective_rank(values, 0.5) == -(-rank // 2)
    assert [energy_at(values, k) for k in (1, rank, 12, 99)] == pytest.approx([1 / rank, 1, 1, 1])


def test_energy_is_of_squares_and_ranks_count_what_reaches_the_share():
    values = np.array([3.0, 1.0])
    assert energy(values) == pytest.approx([0.9, 1.0])
    assert [effective_rank(values, share) for share in (0.9, 0.91, 1.0)] == [1, 2, 2]


def test_zeros_have_no_spectrum():
    with pytest.raises(ValueError, match="nothing was learned"):
        energy(np.zeros(3))


def test_random_matrices_have_the_shape_the_norm_and_the_rank_they_stand_for():
    spectra = null_spectra(gaussian((9, 6), 2.5), draws=4, seed=1)
    assert spectra.shape == (4, 6)
    assert np.square(spectra).sum(1) == pytest.approx(np.full(4, 2.5**2))
    assert len(np.unique(spectra[:, 0])) == 4, "draws differ"
    assert np.array_equal(spectra, null_spectra(gaussian((9, 6), 2.5), draws=4, seed=1))
    products = null_spectra(random_product((9, 6), 2, 2.5), draws=4, seed=1)
    assert np.square(products).sum(1) == pytest.approx(np.full(4, 2.5**2))
    assert products[:, 2:] == pytest.approx(np.zeros((4, 4)), abs=1e-12)
    assert (products[:, 1] > 0.01).all()


def test_the_interval_leaves_out_a_fortieth_on_each_side():
    assert interval(np.arange(41.0)) == pytest.approx((1.0, 39.0))


def test_a_low_rank_change_lies_below_chance_and_a_random_one_inside():
    low = orthonormal(24, 2) @ orthonormal(16, 2).T
    weight = 10 * orthonormal(24, 16)
    found = measure_change("b", "enter", low, weight, gaussian((24, 16), 1.0), draws=40)
    assert (found.ranks[0.95].value, found.ranks[0.99].value) == (2, 2)
    assert found.ranks[0.95].outside
    assert found.ranks[0.95].ratio < 0.25
    assert found.energies[4].value == pytest.approx(1)
    assert found.energies[4].null < 0.6
    assert sorted(found.energies) == [4, 8], "16 directions: beyond that every energy is 1"
    assert found.relative == pytest.approx(2**0.5 / 40)
    noise = measure_change("b", "enter", DRAW.standard_normal((24, 16)), weight, gaussian((24, 16), 1.0), draws=200)
    assert not noise.ranks[0.95].outside
    assert noise.ranks[0.95].ratio == pytest.approx(1, abs=0.15)


def test_numbers_are_plain_and_a_weight_of_zeros_has_no_relative_change():
    found = measure_change("b", "leave", np.eye(6), np.zeros((6, 6)), gaussian((6, 6), 1.0), draws=3)
    numbers = found.numbers()
    assert numbers["relative"] is None
    assert numbers["spectrum"] == [1.0] * 6
    assert numbers["ranks"]["0.95"]["value"] == 6
    assert numbers["energies"]["4"]["value"] == pytest.approx(4 / 6)
