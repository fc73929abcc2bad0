"""S4: scores with and without position, blended for each patch: α·with + (1 − α)·without, 0 ≤ α ≤ 1."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.scoring.scorer import DataPath, PatchScorer
from moleflow.models.task import PerTask


class Blend(nn.Module, ABC):
    """The share α of the score with position, for each patch."""

    @abstractmethod
    def forward(self, features: Tensor, placed: Tensor, unplaced: Tensor, task: str) -> Tensor:
        """Features (B, H, W, D), NLL with and without position (B, H, W) in nats -> α, (B, H, W)."""


class DualBranch(PatchScorer):
    """α·NLL with position + (1 − α)·NLL without; twice the cost of one.

    Without position the path gets the features as they are. Training by likelihood never shows it those.

    Args:
        blend: what decides α.
    """

    def __init__(self, blend: Blend):
        super().__init__()
        self.blend = blend

    def everywhere(self, path: DataPath, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W), in nats."""
        placed = path.likelihood(features, task).nll
        unplaced = path.likelihood_in_place(features, task).nll
        return torch.lerp(unplaced, placed, self.blend(features, placed, unplaced, task).to(placed.dtype))


class PatchAffine(nn.Module):
    """w·inputs + b for each patch; w starts at zero.

    Args:
        inputs: channels.
        start: first value of b.
    """

    def __init__(self, inputs: int, start: float):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs))
        self.bias = nn.Parameter(torch.tensor(start))

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, inputs) -> (…)."""
        return inputs @ self.weight + self.bias


class LearnedBlend(Blend):
    """α = σ(w_t·LN(x) + b_t) of the task's own, starting at ½ everywhere.

    Likelihood gives α no gradient: it learns by the margin on pseudo-anomalies (L7), else stays where it starts.

    Args:
        dim: channels D.
    """

    def __init__(self, dim: int):
        super().__init__()

        def make(task: Task) -> PatchAffine:
            return PatchAffine(dim, 0.0)

        self.affine = PerTask(make)

    def forward(self, features: Tensor, placed: Tensor, unplaced: Tensor, task: str) -> Tensor:
        """α in (0, 1), (B, H, W)."""
        return torch.sigmoid(self.affine[task](F.layer_norm(features, features.shape[-1:])))


class ImprovedBlend(Blend):
    """α = 0.3 + 0.6·σ(w_t·[LN(x), δ] + b_t), δ = (with − without)/D in nats per channel; starts at 0.7 everywhere.

    The bounds keep α from collapsing onto one branch. It learns as ``LearnedBlend`` does.

    Args:
        dim: channels D.
    """

    LOW, HIGH, START = 0.3, 0.9, 0.7

    def __init__(self, dim: int):
        super().__init__()
        start = math.log((self.START - self.LOW) / (self.HIGH - self.START))

        def make(task: Task) -> PatchAffine:
            return PatchAffine(dim + 1, start)

        self.affine = PerTask(make)

    def forward(self, features: Tensor, placed: Tensor, unplaced: Tensor, task: str) -> Tensor:
        """α in (0.3, 0.9), (B, H, W)."""
        difference = ((placed - unplaced) / features.shape[-1]).to(features.dtype)
        inputs = torch.cat([F.layer_norm(features, features.shape[-1:]), difference[..., None]], dim=-1)
        return self.LOW + (self.HIGH - self.LOW) * torch.sigmoid(self.affine[task](inputs))


class GuidedBlend(Blend):
    """α = σ(z(with) − z(without)), z(s) = (s − mean)/std over the image's patches; nothing is learned.

    The branch in which a patch stands out more from its own image counts more.
    """

    def forward(self, features: Tensor, placed: Tensor, unplaced: Tensor, task: str) -> Tensor:
        """α in (0, 1), (B, H, W)."""
        return torch.sigmoid(within_image(placed) - within_image(unplaced))


def within_image(scores: Tensor) -> Tensor:
    """Scores (B, H, W) in standard deviations from their image's mean; zeros where all are equal."""
    variance, mean = torch.var_mean(scores, dim=(1, 2), correction=0, keepdim=True)
    return (scores - mean) / torch.sqrt(variance + 1e-6)
