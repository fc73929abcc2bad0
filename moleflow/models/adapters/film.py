"""A3: feature-wise linear modulation (FiLM, Perez et al. 2018) and a gated perceptron, per task."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.adapters.residual import GatedPerceptron
from moleflow.models.stages import Stage
from moleflow.models.task import PerTask

KEPT_IN_FIRST = 0.9
"""Share of its input that the first task's adapter keeps."""


class Film(nn.Module):
    """κ·x + (1 − κ)·perceptron(γ ⊙ norm(x) + β) with γ = exp(a); γ, β and the perceptron start at the identity.

    Args:
        dim: channels D.
        norm: whether norm is a layer norm without affine part; else it is the identity.
        kept: κ.
    """

    def __init__(self, dim: int, norm: bool, kept: float):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(dim))
        self.b = nn.Parameter(torch.zeros(dim))
        self.perceptron = GatedPerceptron(dim, max(dim // 2, 128))
        self.norm = norm
        self.kept = kept

    @property
    def scale(self) -> Tensor:
        """γ, (D,)."""
        return torch.exp(self.a)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        normed = F.layer_norm(x, x.shape[-1:]) if self.norm else x
        transformed = self.perceptron(self.scale * normed + self.b)
        return self.kept * x + (1 - self.kept) * transformed

    def logdet(self) -> Tensor:
        """Σ log(κ + (1 − κ)·γ), a scalar."""
        return torch.log(self.kept + (1 - self.kept) * self.scale).sum()


class FilmAdapter(Stage):
    """FiLM with a residual perceptron of the task's own; the first task keeps 0.9·x + 0.1·transformed.

    No bijection: the log-det is that of the affine part, Σ log γ_t (in the first task Σ log(0.9 + 0.1·γ)), the same
    for every patch, as if layer norm and perceptron were the identity. Likelihoods of different tasks are not on one
    scale, and what the perceptron shrinks goes unnoticed.

    Args:
        dim: channels D.
        norm: whether a layer norm comes first.
    """

    maps_apart = True

    def __init__(self, dim: int, norm: bool):
        super().__init__()

        def make(task: Task) -> Film:
            return Film(dim, norm, KEPT_IN_FIRST if task.is_first else 0.0)

        self.film = PerTask(make)

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| of the affine part, (B, H, W)."""
        film = self.film[task]
        return film(x), film.logdet().expand(x.shape[:-1])
