"""X4, X6: attention of one head (Vaswani et al. 2017) from patches to patches, or to the means of regions."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.context.shared import SharedContext, zero_linear

FIRST_GLOBAL_GATE = 0.1
"""X6's gate starts at σ(0.1)."""


class Attention(nn.Module):
    """softmax(q·kᵀ/√D)·v with q from the patches, k and v from the tokens, both layer-normed first.

    Args:
        dim: channels D.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)

    def forward(self, patches: Tensor, tokens: Tensor) -> Tensor:
        """(B, N, D) and (B, M, D) -> (B, N, D)."""
        patches, tokens = F.layer_norm(patches, patches.shape[-1:]), F.layer_norm(tokens, tokens.shape[-1:])
        return F.scaled_dot_product_attention(self.query(patches), self.key(tokens), self.value(tokens))


class PatchAttention(SharedContext):
    """X4: x + g·(a + W₂·gelu(W₁·LN(x + a))) with a = W·attention(x, x) over the image's H·W patches.

    The gate is g itself and starts at 0 (ReZero, Bachlechner et al. 2021), so the context starts as the identity; the
    projections therefore do not start at zero, or nothing could learn. Shared by all tasks.

    Args:
        dim: channels D.
        trains_in: whether it learns in a task.
    """

    def __init__(self, dim: int, trains_in: Callable[[Task], bool]):
        super().__init__(trains_in)
        self.attention = Attention(dim)
        self.out = nn.Linear(dim, dim)
        self.perceptron = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        patches = x.flatten(1, 2)
        attended = self.out(self.attention(patches, patches))
        seen = F.layer_norm(patches + attended, patches.shape[-1:])
        return x + self.gate * (attended + self.perceptron(seen)).reshape(x.shape)


class GlobalContext(SharedContext):
    """X6: x + σ(g)·W·attention(x, means of R×R regions); g starts at 0.1, W at zero: it starts as the identity.

    Along a side shorter than R every row or column is a region. Shared by all tasks.

    Args:
        shape: (H, W, D) of the features.
        regions: R.
        trains_in: whether it learns in a task.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int, int], regions: int, trains_in: Callable[[Task], bool]):
        super().__init__(trains_in)
        height, width, dim = shape
        self.attention = Attention(dim)
        self.out = zero_linear(dim, dim)
        self.gate = nn.Parameter(torch.tensor(FIRST_GLOBAL_GATE))
        self.register_buffer("rows", region_shares(height, regions), persistent=False)
        self.register_buffer("columns", region_shares(width, regions), persistent=False)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        attended = self.attention(x.flatten(1, 2), self.regions(x)).reshape(x.shape)
        return x + torch.sigmoid(self.gate) * self.out(attended)

    def regions(self, x: Tensor) -> Tensor:
        """Mean of each region: (B, H, W, D) -> (B, R·R, D)."""
        return torch.einsum("bhwd,hr,wc->brcd", x, self.rows, self.columns).flatten(1, 2)


def region_shares(side: int, regions: int) -> Tensor:
    """Share of each of ``side`` rows in each region's mean, (side, R'), R' = min(R, side); bins as in adaptive pooling.

    Pooling by a matrix has a gradient that is the same in every run, which adaptive pooling's is not on a GPU.
    """
    return F.adaptive_avg_pool1d(torch.eye(side)[None], min(regions, side))[0]
