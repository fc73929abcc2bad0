"""A6: ZCA whitening in closed form (Bell and Sejnowski 1997; Kessy et al. 2018), with a shrunk covariance."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.adapters.moments import patch_covariance, patch_mean
from moleflow.models.routing.statistics import full_scatter
from moleflow.models.stages import InvertibleStage, at_least_float32
from moleflow.models.task import PerTask


class Whitening(nn.Module):
    """One task's mean μ and whitening matrix W = U·Λ^(−1/2)·Uᵀ of the shrunk covariance U·Λ·Uᵀ.

    The tensors are float64, so rounding an expert to its storage type leaves them exact (W's entries grow like one
    over the features' spread and could leave fp16's range) and the stored log-det stays that of the stored W. W is
    symmetric: its upper triangle is kept, D(D + 1)/2 numbers. Starts as the identity.

    Args:
        dim: channels D.
    """

    mean: Tensor
    triangle: Tensor
    logdet: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("triangle", upper_triangle(torch.eye(dim, dtype=torch.float64)))
        self.register_buffer("logdet", torch.zeros((), dtype=torch.float64))

    @property
    def matrix(self) -> Tensor:
        """W, (D, D), float64."""
        return full_scatter(self.triangle, len(self.mean))

    def learn(self, batches: Batches, shrinkage: float) -> None:
        """Set μ, W and log|det W| from the task's patches."""
        mean = patch_mean(batches)
        values, vectors = torch.linalg.eigh(shrunk(patch_covariance(batches, mean), shrinkage))
        self.mean.copy_(mean)
        self.triangle.copy_(upper_triangle((vectors * values.rsqrt()) @ vectors.T))
        self.logdet.copy_(-0.5 * values.log().sum())


class ZcaAdapter(InvertibleStage):
    """W_t·(x − μ_t), a bijection; log|det| = −½·Σ log λ for every patch, constant per task and counted.

    μ_t and W_t are computed once, when the task starts, from its training features, position included. No parameter
    learns.

    Args:
        dim: channels D.
        shrinkage: share ρ of the mean variance in the covariance's diagonal: (1 − ρ)·Σ + ρ·(tr Σ/D)·I.
    """

    maps_apart = True

    def __init__(self, dim: int, shrinkage: float):
        super().__init__()
        self.shrinkage = shrinkage
        self.whitening = PerTask(lambda task: Whitening(dim))

    def start_task(self, task: Task, batches: Batches) -> None:
        """Compute the task's mean and whitening matrix from its features."""
        self.whitening[task.name].learn(batches, self.shrinkage)

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W)."""
        own, x = self.whitening[task], at_least_float32(x)
        # Half precision would drown the directions that W enlarges most in the rounding of the others.
        with torch.autocast(x.device.type, enabled=False):
            y = (x - own.mean.to(x.dtype)) @ own.matrix.to(x.dtype)
        return y, own.logdet.to(x.dtype).expand(x.shape[:-1])

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """W_t⁻¹·z + μ_t, (B, H, W, D) -> (B, H, W, D)."""
        own = self.whitening[task]
        patches = torch.linalg.solve(own.matrix, z.double().flatten(0, -2).T).T
        return (patches.reshape(z.shape) + own.mean).to(z.dtype)


def shrunk(covariance: Tensor, share: float) -> Tensor:
    """(1 − share)·Σ + share·(tr Σ/D)·I, (D, D); where nothing varies it is the identity."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    level = covariance.diagonal().mean()
    return (1 - share) * covariance + share * level * identity if level > 0 else identity


def upper_triangle(matrix: Tensor) -> Tensor:
    """(D, D) -> its upper triangle with the diagonal, (D(D + 1)/2,)."""
    rows, columns = torch.triu_indices(*matrix.shape, device=matrix.device)
    return matrix[rows, columns]
