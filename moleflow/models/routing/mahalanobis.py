"""R5 and R1: Mahalanobis distance to prototypes, under one covariance for all tasks or one for each."""

import torch
from torch import Tensor

from moleflow.models.routing.base import Router
from moleflow.models.routing.statistics import RouterStatistics, ledoit_wolf, pool


def whitener(covariance: Tensor) -> Tensor:
    """L⁻¹ with covariance = L·Lᵀ: ‖L⁻¹(x − μ)‖² is the squared Mahalanobis distance; (D, D)."""
    lower = torch.linalg.cholesky(covariance)
    identity = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, identity, upper=False)


class TiedMahalanobis(Router):
    """R5: one Ledoit–Wolf covariance, pooled within classes over all tasks (nearest whitened mean; Lee et al. 2018).

    One Cholesky for all tasks: beyond the prototypes, memory does not depend on their number.
    """

    def _fit(self, parts: list[RouterStatistics]) -> None:
        self._whiten = whitener(ledoit_wolf(pool(parts)))
        self._white_means = self._means @ self._whiten.T

    def _distances(self, images: Tensor) -> Tensor:
        return torch.cdist(images @ self._whiten.T, self._white_means).square()


class PerTaskMahalanobis(Router):
    """R1: each task's own Ledoit–Wolf covariance; cost is linear in tasks, and few images defeat it."""

    def _fit(self, parts: list[RouterStatistics]) -> None:
        self._whiteners = [whitener(ledoit_wolf(pool([part]))) for part in parts]
        self._groups = [part.mean for part in parts]

    def _distances(self, images: Tensor) -> Tensor:
        return torch.cat(
            [
                torch.cdist(images @ white.T, means @ white.T).square()
                for white, means in zip(self._whiteners, self._groups, strict=True)
            ],
            dim=1,
        )
