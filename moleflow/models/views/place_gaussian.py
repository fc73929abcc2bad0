"""V1: a Gaussian for each place of the grid (PaDiM, Defard et al. 2021), of low rank, in closed form."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.task import PerTask
from moleflow.models.views.base import View

OWN, RIDGE = 0.9, 0.01
"""Share of a place's own covariance beside the mean over places, and of the mean variance on the diagonal."""
LEAST = 1e-6
"""Mean variance, at least (one image has none): whitening by it stays within fp16, in which experts are stored."""


class LowRankGaussians(nn.Module):
    """Gaussians N(μ_p, Σ_p) of places p, Σ_p = 0.9·S_p + B with B = 0.1·mean_p S_p + 1 % of its mean variance.

    B is kept once, as a whitening W·B·Wᵀ = I; what a place adds to it, 0.9·W·S_p·Wᵀ = Σ λ_i·u_i·u_iᵀ, is cut to the
    ``rank`` largest eigenvalues.

    Args:
        places: number of places P.
        dim: channels D.
        rank: r.
    """

    mean: Tensor
    whiten: Tensor
    axes: Tensor
    gains: Tensor

    def __init__(self, places: int, dim: int, rank: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(places, dim))
        self.register_buffer("whiten", torch.eye(dim))
        self.register_buffer("axes", torch.zeros(places, min(rank, dim), dim))
        self.register_buffer("gains", torch.zeros(places, min(rank, dim)))

    def learn(self, patches: Tensor) -> None:
        """Fit to patches (N, P, D)."""
        self.mean.copy_(patches.mean(0))
        centred = patches - self.mean
        own = torch.einsum("npd,npe->pde", centred, centred) / len(patches)
        shared = (1 - OWN) * own.mean(0)
        shared.diagonal().add_(RIDGE * own.diagonal(dim1=1, dim2=2).mean().clamp_min(LEAST))
        values, vectors = torch.linalg.eigh(shared)
        self.whiten.copy_((vectors * values.rsqrt()).T)
        values, vectors = torch.linalg.eigh(OWN * self.whiten @ own @ self.whiten.T)
        rank = self.gains.shape[1]
        self.gains.copy_(values[:, -rank:].clamp_min(0))
        self.axes.copy_(vectors[:, :, -rank:].transpose(1, 2))

    def forward(self, patches: Tensor) -> Tensor:
        """½(x − μ)ᵀΣ⁻¹(x − μ) + ½·log|Σ_p| up to a constant of the task, (N, P, D) -> (N, P).

        By Woodbury's identity Σ⁻¹ = Wᵀ(I − Σ λ_i/(1 + λ_i)·u_i·u_iᵀ)W.
        """
        white = ((patches - self.mean) @ self.whiten.T).transpose(0, 1)  # (P, N, D)
        along = white @ self.axes.transpose(1, 2)  # (P, N, r)
        explained = (along.square() * (self.gains / (1 + self.gains))[:, None]).sum(-1)
        spread = torch.log1p(self.gains).sum(-1, keepdim=True)
        return 0.5 * (white.square().sum(-1) - explained + spread).T


class PlaceGaussian(View):
    """V1: energy of each place's Gaussian on a coarser grid, bilinearly brought back, in nats up to a constant.

    Args:
        shape: (H, W, D) of the features.
        grid: places along a side, at most.
        rank: rank of what a place's covariance adds to the shared one.
    """

    is_energy = True

    def __init__(self, shape: tuple[int, int, int], grid: int, rank: int):
        height, width, dim = shape
        super().__init__((min(grid, height), min(grid, width)))
        places = self.grid[0] * self.grid[1]
        self.gaussians = PerTask(lambda task: LowRankGaussians(places, dim, rank))

    def end_task(self, task: Task, batches: Batches) -> None:
        """Fit the task's Gaussians to its features."""
        self.gaussians[task.name].learn(torch.cat([self.places(batch.features) for batch in batches()]))

    def judge(self, places: Tensor, task: str) -> Tensor:
        """(B, P, D) -> (B, P)."""
        return self.gaussians[task](places)
