"""P2: relative position: attention over patches with a learned bias for each offset (as Liu et al. 2021, Swin)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.models.stages import Mapping

MAX_KEY = 64
"""Channels of queries and keys, at most: they only decide who looks at whom."""


def clipped_offsets(length: int, furthest: int) -> Tensor:
    """Rows of a bias table: (length, length) integers clip(j − i, −furthest, furthest) + furthest."""
    places = torch.arange(length)
    return (places[None, :] - places[:, None]).clamp(-furthest, furthest) + furthest


class RelativeAttention(Mapping):
    """x + σ(g)·out(A·x), A = softmax(q·kᵀ/√d + bias[Δrow, Δcolumn]) over all patches, q and k from LN(x).

    Equal to the blend (1 − σ(g))·x + σ(g)·(x + out(A·x)) of the features and a residual attention layer. Offsets beyond
    ``max_distance`` rows or columns share the bias of that distance. One head: a value projection would be absorbed by
    ``out``, so there is none. ``out`` starts at zero: the part starts as the identity, with the gate half open and the
    bias flat. Shared by all tasks. No bijection: its log-det is not part of the likelihood. Memory grows with (H·W)².

    Args:
        shape: (H, W, D) of the features.
        max_distance: largest offset with a bias of its own, in patches.
        trains_in: whether the part learns in a task.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, shape: tuple[int, int, int], max_distance: int, trains_in: Callable[[Task], bool]):
        super().__init__()
        height, width, dim = shape
        self.register_buffer("rows", clipped_offsets(height, max_distance), persistent=False)
        self.register_buffer("columns", clipped_offsets(width, max_distance), persistent=False)
        self.bias = nn.Parameter(torch.zeros(2 * max_distance + 1, 2 * max_distance + 1))
        self.query = nn.Linear(dim, min(dim, MAX_KEY), bias=False)
        self.key = nn.Linear(dim, min(dim, MAX_KEY), bias=False)
        self.out = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(()))
        self.trains_in = trains_in
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        patches = x.flatten(1, 2)  # (B, H·W, D)
        mixed = (self.attention(patches) @ patches).view_as(x)
        return x + torch.sigmoid(self.gate) * self.out(mixed)

    def attention(self, patches: Tensor) -> Tensor:
        """Who looks at whom: patches (B, H·W, D) -> weights (B, H·W, H·W), each row sums to one."""
        normed = F.layer_norm(patches, patches.shape[-1:])
        query, key = self.query(normed), self.key(normed)
        likeness = query @ key.mT / query.shape[-1] ** 0.5
        return torch.softmax(likeness + self.offset_bias(), dim=-1)

    def offset_bias(self) -> Tensor:
        """bias[Δrow, Δcolumn] of every pair of patches, (H·W, H·W)."""
        pairs = self.bias[self.rows[:, None, :, None], self.columns[None, :, None, :]]  # (H, W, H, W)
        return pairs.flatten(2).flatten(0, 1)

    def trains_shared(self, task: Task) -> bool:
        """The freeze policy's answer for the attention."""
        return self.trains_in(task)
