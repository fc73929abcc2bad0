"""Forgetting, backward transfer and average performance, all derived from the task matrix.

The matrix m has one row per evaluation and one column per task: m[i][j] is the metric on task j after
task i was learned; None above the diagonal and where the metric does not apply. Rows may stop at the
diagonal or be padded with None. The last row is the final one: a stream that is only half done is
measured as far as it got.
"""

import math
from collections.abc import Iterable, Sequence

Matrix = Sequence[Sequence[float | None]]


def forgetting(matrix: Matrix) -> float | None:
    """FM = mean over old tasks j < T−1 of max over i < T−1 of m[i][j], minus m[T−1][j].

    Positive: the best the model once could on a task is lost; negative: it got better still. Exactly
    0.0 when the final values equal the best ones bit for bit. Source: Chaudhry et al., "Riemannian
    Walk", ECCV 2018.

    Returns:
        None when no old task has a final and an earlier value.
    """
    return mean_known(lost(matrix, task) for task in range(len(matrix) - 1))


def backward_transfer(matrix: Matrix) -> float | None:
    """BWT = mean over old tasks j < T−1 of m[T−1][j] − m[j][j].

    Negative: later tasks harmed earlier ones. Source: Lopez-Paz & Ranzato, "Gradient Episodic Memory for
    Continual Learning", NeurIPS 2017.

    Returns:
        None when no old task has a final value and one from right after it was learned.
    """
    return mean_known(_difference(matrix[-1][task], matrix[task][task]) for task in range(len(matrix) - 1))


def average_incremental(matrix: Matrix) -> float | None:
    """Mean over rows i of the mean over the tasks j ≤ i learned so far (Rebuffi et al., "iCaRL", CVPR 2017).

    Returns:
        None when the matrix holds no value.
    """
    return mean_known(mean_known(row[: after + 1]) for after, row in enumerate(matrix))


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None, or None if there are none; the order of values never matters."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def lost(matrix: Matrix, task: int) -> float | None:
    """Best earlier minus final value of one task."""
    earlier = [row[task] for row in matrix[task:-1]]
    best = max((value for value in earlier if value is not None), default=None)
    return _difference(best, matrix[-1][task])


def _difference(minuend: float | None, subtrahend: float | None) -> float | None:
    return None if minuend is None or subtrahend is None else minuend - subtrahend
