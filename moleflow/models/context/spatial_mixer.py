"""X1: the spatial mixer, which lets a patch see its neighbours before the flow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.stages import Mapping


class SpatialMixer(Mapping):
    """x + σ(g)·pointwise(depthwise(x)); the pointwise part starts at zero, so the mixer starts as the identity.

    Shared by all tasks. No bijection: its log-det is not part of the likelihood.

    Args:
        dim: channels D.
        kernel: side of the depthwise kernel, odd.
        trains_in: whether the mixer learns in a task.
    """

    def __init__(self, dim: int, kernel: int, trains_in: Callable[[Task], bool]):
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, padding_mode="replicate")
        self.pointwise = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.zeros(()))
        self.trains_in = trains_in
        nn.init.zeros_(self.pointwise.weight)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        mixed = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + torch.sigmoid(self.gate) * self.pointwise(mixed)

    def trains_shared(self, task: Task) -> bool:
        """The freeze policy's answer for the mixer."""
        return self.trains_in(task)
