"""F10: SC-LoRA, low-rank deltas that differ from place to place."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.lora import TaskLinear
from moleflow.models.task import PerTask


def hat_weights(places: int, nodes: int, like: Tensor) -> Tensor:
    """Linear interpolation from ``nodes`` nodes to ``places`` places whose ends meet: (places, nodes), rows sum to 1.

    ``like`` lends its device and type. A single place takes the first node.
    """
    at = torch.linspace(0, nodes - 1, places, device=like.device, dtype=like.dtype)
    node = torch.arange(nodes, device=like.device, dtype=like.dtype)
    return (1 - (at[:, None] - node).abs()).clamp(min=0)


class NoSpatialDelta(nn.Module):
    """The delta of a task that has none."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y."""
        return y


class SpatialDelta(nn.Module):
    """scale·B(p)·A(p) at patch p, with A and B interpolated from a G×G grid, and, if asked, one bias for all patches.

    All nodes start with the same Kaiming-uniform A and B = 0: a task starts at the base, and as LoRA would; the nodes
    part while it learns. The corners of the grid are the corner patches.

    Args:
        in_features, out_features: shape of the layer it is added to.
        rank: rank of the products, cut to the smaller side of the layer.
        scale: factor of the products (α/r).
        bias: whether the task has a bias of its own.
        nodes: G.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float, bias: bool, nodes: int):
        super().__init__()
        rank = min(rank, in_features, out_features)
        self.scale = scale
        everywhere = nn.init.kaiming_uniform_(torch.empty(rank, in_features), a=5**0.5)
        self.A = nn.Parameter(everywhere.repeat(nodes, nodes, 1, 1))
        self.B = nn.Parameter(torch.zeros(nodes, nodes, out_features, rank))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """y plus the delta's answer to x: (B, H, W, in), (B, H, W, out) -> (B, H, W, out).

        Nodes' matrices are interpolated over the rows of patches, answers over the columns: large products for every
        row, instead of a pair of matrices held for every patch.
        """
        rows = hat_weights(x.shape[1], len(self.A), self.A)
        columns = hat_weights(x.shape[2], len(self.A), self.A).unsqueeze(-1)  # (W, G, 1)
        answers = torch.einsum("bhwi,hgri->bhwgr", x, torch.einsum("hn,ngri->hgri", rows, self.A))
        low = (answers * columns).sum(-2, keepdim=True)  # (B, H, W, 1, r)
        spread = low * columns  # (B, H, W, G, r)
        y = y + self.scale * torch.einsum("bhwgr,hgor->bhwo", spread, torch.einsum("hn,ngor->hgor", rows, self.B))
        return y if self.bias is None else y + self.bias


class SpatialLoRALinear(TaskLinear):
    """y_p = (W + scale·B_t(p)·A_t(p))·x_p + b + b_t at patch p; with equal nodes it is ``LoRALinear``.

    The delta differs from patch to patch, so it cannot be folded into W: a product with A(p) and one with B(p) are
    added to every patch, at inference too.

    Args:
        in_features, out_features: shape of the layer.
        rank, scale, bias: see ``SpatialDelta``.
        in_first: whether the first task has a delta too.
        nodes: side G of the grid.
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int, scale: float, bias: bool, in_first: bool, nodes: int
    ):
        super().__init__()
        self.base = nn.Linear(in_features, out_features)

        def make(task: Task) -> SpatialDelta | NoSpatialDelta:
            if task.is_first and not in_first:
                return NoSpatialDelta()
            return SpatialDelta(in_features, out_features, rank, scale, bias, nodes)

        self.deltas = PerTask(make)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Apply the task's weights and bias: (B, H, W, in) -> (B, H, W, out)."""
        return self.deltas[task](x, self.base(x))
