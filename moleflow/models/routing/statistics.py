"""What a task's expert keeps of its features for the router: per class n, mean, scatter and Σ‖x − mean‖⁴, in float64.

These are sufficient for a Ledoit–Wolf covariance of any union of tasks, so no image is needed again.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches


class RouterStatistics(nn.Module):
    """Sufficient statistics of one task's image-level features, a row for each class of the task.

    Args:
        task: the task; its classes, sorted, are the rows.
        dim: channels D. The scatter is kept as its upper triangle, D(D + 1)/2 numbers.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor
    fourth: Tensor

    def __init__(self, task: Task, dim: int):
        super().__init__()
        rows = len(task.classes)
        self.register_buffer("count", torch.zeros(rows, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(rows, dim, dtype=torch.float64))
        self.register_buffer("scatter", torch.zeros(rows, dim * (dim + 1) // 2, dtype=torch.float64))
        self.register_buffer("fourth", torch.zeros(rows, dtype=torch.float64))

    def learn(self, batches: Batches) -> None:
        """Compute the statistics of the task's image features."""
        seen = [(image_features(batch.features), batch.classes) for batch in batches()]
        features, classes = (torch.cat(column) for column in zip(*seen, strict=True))
        upper = torch.triu_indices(features.shape[1], features.shape[1], device=features.device)
        for row in range(len(self.count)):
            mine = features[classes == row]
            centred = mine - mine.mean(0)
            self.count[row] = len(mine)
            self.mean[row] = mine.mean(0)
            self.scatter[row] = (centred.T @ centred)[upper[0], upper[1]]
            self.fourth[row] = centred.square().sum(1).square().sum()


def image_features(features: Tensor) -> Tensor:
    """Mean over the grid, of each row in float32 and of these in float64: (B, H, W, D) -> (B, D)."""
    return features.mean(2).double().mean(1)


def full_scatter(triangle: Tensor, dim: int) -> Tensor:
    """Upper triangle (D(D + 1)/2,) -> symmetric (D, D)."""
    upper = torch.triu_indices(dim, dim, device=triangle.device)
    full = triangle.new_zeros(dim, dim)
    full[upper[0], upper[1]] = triangle
    return full + full.triu(1).T


class Pooled(NamedTuple):
    """Within-class statistics of several classes together."""

    images: Tensor
    scatter: Tensor
    fourth: Tensor


def pool(statistics: Iterable[RouterStatistics]) -> Pooled:
    """Sum the within-class statistics of tasks."""
    parts: Sequence[RouterStatistics] = list(statistics)
    dim = parts[0].mean.shape[1]
    return Pooled(
        torch.stack([part.count.sum() for part in parts]).sum(),
        full_scatter(torch.stack([part.scatter.sum(0) for part in parts]).sum(0), dim),
        torch.stack([part.fourth.sum() for part in parts]).sum(),
    )


def ledoit_wolf(pooled: Pooled) -> Tensor:
    """Shrunk covariance ρ·m·I + (1 − ρ)·S from sufficient statistics (Ledoit and Wolf 2004).

    S = scatter/n, m = tr S/D, ρ = min(1, b²/d²) with d² = ‖S − m·I‖² and b² = (Σ‖x‖⁴/n − ‖S‖²)/n.

    Returns:
        (D, D) positive definite, float64. Where nothing varies (one image a class) it is the identity.
    """
    dim = len(pooled.scatter)
    identity = torch.eye(dim, dtype=pooled.scatter.dtype, device=pooled.scatter.device)
    covariance = pooled.scatter / pooled.images
    level = covariance.diagonal().mean()
    if level <= 0:
        return identity
    distance = (covariance - level * identity).square().sum()
    noise = (pooled.fourth / pooled.images - covariance.square().sum()) / pooled.images
    shrinkage = (noise / distance).clamp(0, 1) if distance > 0 else torch.ones_like(level)
    floor = 1e-10 * level * identity
    return shrinkage * level * identity + (1 - shrinkage) * covariance + floor
