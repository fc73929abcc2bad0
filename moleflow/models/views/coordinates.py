"""What of a patch a memory compares: its channels by their depth, along few principal directions of the task."""

import torch
from torch import Tensor, nn


def by_depth(dim: int, shallow: float) -> Tensor:
    """Weights (dim,) of channels that run from shallow to deep stages: from ``shallow`` to 1, geometrically.

    Above 1 small defects stand out, which shallow stages see; below 1 what only the whole of a part shows.
    """
    return torch.logspace(torch.tensor(shallow).log10().item(), 0.0, dim)


def coordinates_of(dim: int, count: int) -> int:
    """How many coordinates a patch of ``dim`` channels has along ``count`` directions."""
    return count + 1 if 0 < count < dim - 1 else dim


def squared_length(points: Tensor) -> Tensor:
    """(…, d) -> (…)."""
    return torch.linalg.vector_norm(points, dim=-1).square()


class Coordinates(nn.Module):
    """Coordinates in which distances are those that count: x → w⊙x, or x → (Vᵀc, ‖c − VVᵀc‖) with c = w⊙x − μ.

    V are the directions along which the task's normal patches vary most (Pearson 1901), and the last coordinate is how
    much of a patch they leave out: a defect in any other direction is far from all that is normal, whichever it is.
    The distance of two patches is at least that of their coordinates, and nearly equal among normal ones.

    Args:
        dim: channels D.
        shallow: weight of the first channel beside the last one's 1.
        count: directions r; 0, or as many as there are channels: channels as they are.
    """

    weights: Tensor
    mean: Tensor
    axes: Tensor

    def __init__(self, dim: int, shallow: float = 1.0, count: int = 0):
        super().__init__()
        self.register_buffer("weights", by_depth(dim, shallow), persistent=False)
        self.whole = coordinates_of(dim, count) == dim
        if not self.whole:
            self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
            self.register_buffer("axes", torch.zeros(dim, count, dtype=torch.float16))

    def weighted(self, patches: Tensor) -> Tensor:
        """w⊙x, (…, D) -> (…, D)."""
        return patches * self.weights

    def learn(self, weighted: Tensor) -> None:
        """Find the directions of weighted normal patches (n, D)."""
        if self.whole:
            return
        mean = weighted.mean(0)
        covariance = weighted.T @ weighted / len(weighted) - torch.outer(mean, mean)
        self.mean.copy_(mean)
        self.axes.copy_(torch.linalg.eigh(covariance.double()).eigenvectors[:, -self.axes.shape[1] :])

    def along(self, weighted: Tensor) -> Tensor:
        """Coordinates of weighted patches, (…, D) -> (…, r + 1), or those themselves; what is kept are such."""
        if self.whole:
            return weighted
        centred = weighted - self.mean.to(weighted)
        along = centred @ self.axes.to(weighted)
        left = centred.square().sum(-1, keepdim=True) - along.square().sum(-1, keepdim=True)
        return torch.cat([along, left.clamp_min(0).sqrt()], dim=-1)

    def forward(self, patches: Tensor) -> Tensor:
        """Coordinates of patches (…, D) -> (…, r + 1), or (…, D): as ``along`` but for last digits, and sooner."""
        if self.whole:
            return self.weighted(patches)
        centred = torch.addcmul(-self.mean.to(patches), patches, self.weights.to(patches))
        along = centred @ self.axes.to(centred)
        left = squared_length(centred) - squared_length(along)
        return torch.cat([along, left.clamp_min(0).sqrt()[..., None]], dim=-1)
