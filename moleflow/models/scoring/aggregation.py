"""S2: from the patch scores of an image (B, H, W) to its score (B,)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Aggregation(nn.Module, ABC):
    """Patch scores to image scores."""

    @abstractmethod
    def forward(self, patch_scores: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B,)."""


class OrderFree(Aggregation):
    """An aggregation that neither asks where patches lie nor whose they are."""

    def forward(self, patch_scores: Tensor, task: str) -> Tensor:
        """(B, H, W) -> (B,)."""
        return self.reduce(patch_scores.flatten(1))

    @abstractmethod
    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""


class TopK(OrderFree):
    """Mean of the k highest patch scores (all of them where an image has fewer)."""

    def __init__(self, k: int):
        super().__init__()
        self.k = k

    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        return scores.topk(min(self.k, scores.shape[1]), dim=1).values.mean(1)


class TopKPercent(OrderFree):
    """Mean of the highest ``percent`` of patch scores, at least one."""

    def __init__(self, percent: float):
        super().__init__()
        self.percent = percent

    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        k = max(1, int(scores.shape[1] * self.percent / 100))
        return scores.topk(k, dim=1).values.mean(1)


class Percentile(OrderFree):
    """A quantile of the patch scores, linearly interpolated."""

    def __init__(self, quantile: float):
        super().__init__()
        self.quantile = quantile

    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        return torch.quantile(scores, self.quantile, dim=1)


class Max(OrderFree):
    """The highest patch score."""

    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        return scores.amax(1)


class Mean(OrderFree):
    """The mean patch score."""

    def reduce(self, scores: Tensor) -> Tensor:
        """(B, patches) -> (B,)."""
        return scores.mean(1)
