"""Forgetting, backward transfer and average incremental performance on matrices worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from moleflow.evaluation.continual import Matrix, average_incremental, backward_transfer, forgetting, mean_known

MATRIX = [
    [0.9, None, None],
    [0.95, 0.8, None],
    [0.7, 0.85, 0.6],
]


def test_values_by_hand() -> None:
    """Task 0 was best (0.95) after task 1, task 1 improved by 0.05; task 2 is not old."""
    assert forgetting(MATRIX) == pytest.approx(((0.95 - 0.7) + (0.8 - 0.85)) / 2)
    assert backward_transfer(MATRIX) == pytest.approx(((0.7 - 0.9) + (0.85 - 0.8)) / 2)
    assert average_incremental(MATRIX) == pytest.approx((0.9 + 0.875 + (0.7 + 0.85 + 0.6) / 3) / 3)


def test_unchanged_scores_are_exactly_zero() -> None:
    """Not 1e-17 and not −0.0, whatever the values: the promise of isolation is exact."""
    final = np.random.default_rng(0).random(15).tolist()
    matrix = [[*final[: row + 1], *[None] * (14 - row)] for row in range(15)]
    for value in (forgetting(matrix), backward_transfer(matrix)):
        assert value == 0.0
        assert math.copysign(1.0, value) == 1.0


def test_rows_may_stop_at_the_diagonal_or_be_padded() -> None:
    short = [[value for value in row if value is not None] for row in MATRIX]
    padded = [[*row, None, None] for row in MATRIX]
    for measure in (forgetting, backward_transfer, average_incremental):
        assert measure(short) == measure(padded) == measure(MATRIX)


def test_values_above_the_diagonal_do_not_count() -> None:
    """A task that was measured before it was learned must not change what was forgotten."""
    matrix = [[0.9, 0.99, 0.99], [0.8, 0.5, 0.99], [0.8, 0.4, 0.3]]
    assert forgetting(matrix) == pytest.approx(0.1)
    assert average_incremental(matrix) == pytest.approx((0.9 + 0.65 + 0.5) / 3)


@pytest.mark.parametrize("measure", [forgetting, backward_transfer])
@pytest.mark.parametrize("matrix", [[], [[0.9]], [[0.9, None]], [[None, None], [None, 0.5]], [[None], [0.4, 0.5]]])
def test_not_defined_is_none(measure: Callable[[Matrix], float | None], matrix: Matrix) -> None:
    assert measure(matrix) is None


def test_average_incremental_of_nothing_is_none() -> None:
    assert average_incremental([]) is None
    assert average_incremental([[None], [None, None]]) is None
    assert average_incremental([[0.25]]) == 0.25


def test_a_task_without_the_metric_is_left_out() -> None:
    """Task 1 has no masks."""
    matrix = [[0.5, None, None], [0.4, None, None], [0.3, None, 0.9]]
    assert forgetting(matrix) == pytest.approx(0.2)
    assert backward_transfer(matrix) == pytest.approx(-0.2)
    assert average_incremental(matrix) == pytest.approx((0.5 + 0.4 + 0.6) / 3)


def test_mean_known() -> None:
    assert mean_known([None, 0.5, None, 1.0]) == 0.75
    assert mean_known([None]) is None
    values = np.random.default_rng(1).random(100).tolist()
    assert mean_known(values) == mean_known(values[::-1])
