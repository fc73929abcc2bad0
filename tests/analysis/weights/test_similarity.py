"""CKA and principal angles against closed forms."""

import numpy as np
import pytest

from moleflow.analysis.weights.similarity import (
    chance_angle,
    linear_cka,
    main_columns,
    principal_angles,
    random_basis,
)

DRAW = np.random.default_rng(0)
AXES = np.eye(6)


def test_cka_of_what_is_identical_up_to_rotation_and_scale_is_one():
    one = DRAW.standard_normal((20, 8))
    rotation = np.linalg.qr(DRAW.standard_normal((8, 8)))[0]
    assert linear_cka(one, one) == pytest.approx(1)
    assert linear_cka(one, -3 * one @ rotation + 7) == pytest.approx(1), "an offset of the rows is centred away"
    assert linear_cka(one, DRAW.standard_normal((20, 8))) < 0.7


def test_cka_of_orthogonal_columns_is_zero_and_of_half_shared_ones_known():
    columns = np.linalg.qr(np.c_[np.ones(10), DRAW.standard_normal((10, 4))])[0][:, 1:]  # centred, orthonormal
    assert linear_cka(columns[:, :2], columns[:, 2:]) == pytest.approx(0, abs=1e-12)
    assert linear_cka(columns[:, :2], columns[:, 1:3]) == pytest.approx(0.5)
    assert linear_cka(np.ones((10, 2)), columns) == 0


def test_angles_of_known_subspaces():
    plane = AXES[:, :2]
    tilted = np.c_[AXES[:, 0], np.cos(0.3) * AXES[:, 1] + np.sin(0.3) * AXES[:, 2]]
    assert principal_angles(plane, tilted) == pytest.approx([0, np.degrees(0.3)], abs=1e-10)
    assert principal_angles(plane, AXES[:, 2:4]) == pytest.approx([90, 90])
    assert principal_angles(AXES[:, :3], AXES[:, 2:3]) == pytest.approx([0], abs=1e-10)
    assert principal_angles(AXES[:, 3:4], AXES[:, :3]) == pytest.approx([90])
    tiny = np.c_[AXES[:, 0] + 1e-9 * AXES[:, 5]]
    assert principal_angles(AXES[:, :1], tiny)[0] == pytest.approx(np.degrees(1e-9)), "cosines alone would say 0"


def test_main_columns_hold_the_share():
    matrix = AXES[:, :3] @ np.diag([10.0, 3.0, 0.1]) @ np.linalg.qr(DRAW.standard_normal((4, 4)))[0][:3]
    basis = main_columns(matrix)
    assert basis.shape == (6, 2)
    assert principal_angles(basis, AXES[:, :2]) == pytest.approx([0, 0], abs=1e-6)


def test_chance_is_known_for_lines_in_the_plane_and_for_spaces_that_fill_it():
    generator = np.random.default_rng(1)
    assert chance_angle(2, (1, 1), 4000, generator) == pytest.approx(45, abs=1)
    assert chance_angle(5, (5, 2), 3, generator) == pytest.approx(0, abs=1e-5)
    basis = random_basis(7, 3, generator)
    assert basis.T @ basis == pytest.approx(np.eye(3), abs=1e-12)
