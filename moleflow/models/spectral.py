"""F9: spectral norm on the shared weights of the flow's subnets (after Miyato et al. 2018)."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from moleflow.models.lora import TaskLinear
from moleflow.models.subnets.plain import LinearFactory

DIRECTIONS, ROUNDS = 16, 10
"""Size of the subspace iteration: exact for matrices up to 16 columns or rows, within 1 % at 768 × 768."""


class SpectralBound(nn.Module):
    """W / max(1, σ₁(W)): a weight whose largest singular value is above 1 is divided by it, others stay.

    (Dividing every weight, as Miyato et al. do, would tear a zero-initialised layer from its identity start.)
    σ₁ = uᵀWv by subspace iteration from fixed directions, anew in each call: the result depends on W alone, so frozen
    weights act the same for ever. Gradients flow through W and through σ₁ with u and v held still, which is σ₁'s
    derivative.

    Args:
        columns: columns of W.
    """

    start: Tensor

    def __init__(self, columns: int):
        super().__init__()
        start = torch.randn(columns, min(DIRECTIONS, columns), generator=torch.Generator().manual_seed(0))
        self.register_buffer("start", start, persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """(rows, columns) -> (rows, columns)."""
        with torch.autocast(weight.device.type, enabled=False):
            left, right = self._singular_vectors(weight.detach())
            largest = left @ weight @ right
            return weight / largest.clamp(min=1)

    def _singular_vectors(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        span = self.start.to(weight.dtype)
        for _ in range(ROUNDS):
            span, _ = torch.linalg.qr(weight.T @ (weight @ span))
        left, _, right = torch.linalg.svd(weight @ span, full_matrices=False)
        return left[:, 0], span @ right[0]


def spectrally_bounded(in_features: int, out_features: int, linear: LinearFactory) -> TaskLinear:
    """A layer whose shared weight is bounded before a task's delta is added to it; deltas themselves are free."""
    layer = linear(in_features, out_features)
    parametrize.register_parametrization(layer.base, "weight", SpectralBound(in_features))
    return layer
