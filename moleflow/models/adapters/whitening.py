"""A1, A2: the whitening adapter: layer norm (A1) or none (A2), then a bounded scale and shift of the task's own."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.stages import InvertibleStage, Stage
from moleflow.models.task import PerTask

LOW, HIGH = 0.5, 2.0
IDENTITY = math.log((1 - LOW) / (HIGH - 1))
"""The raw value at which γ = 1 (a raw 0 would mean 1.25)."""


class BoundedAffine(nn.Module):
    """γ ⊙ x + β with γ = lo + (hi − lo)·σ(a) in (0.5, 2) and β = 2·tanh(b) in (−2, 2); starts at the identity.

    Args:
        dim: channels.
        pull: weight of the penalty mean(γ − 1)² + mean β².
    """

    def __init__(self, dim: int, pull: float):
        super().__init__()
        self.a = nn.Parameter(torch.full((dim,), IDENTITY))
        self.b = nn.Parameter(torch.zeros(dim))
        self.pull = pull

    @property
    def scale(self) -> Tensor:
        """γ, (D,)."""
        return LOW + (HIGH - LOW) * torch.sigmoid(self.a)

    @property
    def shift(self) -> Tensor:
        """β, (D,)."""
        return 2 * torch.tanh(self.b)

    def forward(self, x: Tensor) -> Tensor:
        """γ ⊙ x + β, (…, D)."""
        return self.scale * x + self.shift

    def inverse(self, y: Tensor) -> Tensor:
        """(y − β) / γ, (…, D)."""
        return (y - self.shift) / self.scale

    def distance_from_identity(self) -> Tensor:
        """L8: pull·(mean(γ − 1)² + mean β²), a scalar."""
        return self.pull * ((self.scale - 1).square().mean() + self.shift.square().mean())


class TaskAffine(Stage):
    """γ_t ⊙ x + β_t, bounded; log|det| = Σ log γ_t for every patch.

    Leaving the log-det out (``logdet=False``, as the method's history did) rewards shrinking.

    Args:
        dim: channels D.
        logdet: whether Σ log γ counts.
        identity_pull: weight of the pull to the identity, in the first task only.
    """

    maps_apart = True

    def __init__(self, dim: int, logdet: bool, identity_pull: float):
        super().__init__()
        self.logdet = logdet
        self.affine = PerTask(lambda task: BoundedAffine(dim, identity_pull if task.is_first else 0.0))

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W)."""
        affine = self.affine[task]
        logdet = torch.log(affine.scale).sum() * float(self.logdet)
        return affine(x), logdet.expand(x.shape[:-1])

    def penalty(self, task: Task) -> Tensor:
        """L8: the first task's pull to the identity."""
        return self.affine[task.name].distance_from_identity()


class WhiteningAdapter(TaskAffine):
    """A1: γ_t ⊙ LN(x) + β_t; log|det| = Σ log γ_t for every patch.

    Layer norm is no bijection, so the log-det is that of the affine part and likelihoods of different tasks are not on
    one scale.
    """

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W)."""
        return super().forward(F.layer_norm(x, x.shape[-1:]), task)


class WhiteningNoNorm(TaskAffine, InvertibleStage):
    """A2: γ_t ⊙ x + β_t, a bijection."""

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """(z − β_t) / γ_t, (B, H, W, D) -> (B, H, W, D)."""
        return self.affine[task].inverse(z)
