"""Averages over all patches of a task, in float64: what closed-form adapters learn from."""

from collections.abc import Callable

import torch
from torch import Tensor

from moleflow.extractors.batch import Batches


def patch_average(batches: Batches, summed: Callable[[Tensor], Tensor]) -> Tensor:
    """Σ summed(patches) over the batches, divided by the number of patches.

    Args:
        batches: the task's features.
        summed: float64 patches (N, D) of one batch -> the sum of a statistic over them.
    """
    total, count = torch.zeros((), dtype=torch.float64), 0
    for batch in batches():
        patches = batch.features.double().flatten(0, -2)
        total = total.to(patches.device) + summed(patches)
        count += len(patches)
    return total / count


def patch_mean(batches: Batches) -> Tensor:
    """Mean of the patches, (D,)."""
    return patch_average(batches, lambda patches: patches.sum(0))


def patch_variance(batches: Batches, mean: Tensor) -> Tensor:
    """Mean squared distance from ``mean`` of each channel, (D,)."""
    return patch_average(batches, lambda patches: (patches - mean).square().sum(0))


def patch_covariance(batches: Batches, mean: Tensor) -> Tensor:
    """Covariance around ``mean``, (D, D)."""
    return patch_average(batches, lambda patches: (patches - mean).T @ (patches - mean))
