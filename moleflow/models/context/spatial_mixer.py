"""X1, X5: the spatial mixer, which lets a patch see its neighbours before the flow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.context.shared import SharedContext, depthwise, zero_linear
from moleflow.models.task import PerTask


class Mixer(SharedContext):
    """The convolutions of X1 and X5: pointwise(depthwise(x)), where the pointwise part starts at zero.

    Args:
        dim: channels D.
        kernel: side of the depthwise kernel, odd.
        trains_in: whether the convolutions learn in a task.
    """

    def __init__(self, dim: int, kernel: int, trains_in: Callable[[Task], bool]):
        super().__init__(trains_in)
        self.depthwise = depthwise(dim, kernel)
        self.pointwise = zero_linear(dim, dim)

    def mixed(self, x: Tensor) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return self.pointwise(self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class SpatialMixer(Mixer):
    """X1: x + σ(g)·mixed(x), the same for all tasks; starts as the identity."""

    def __init__(self, dim: int, kernel: int, trains_in: Callable[[Task], bool]):
        super().__init__(dim, kernel, trains_in)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + torch.sigmoid(self.gate) * self.mixed(x)


class GatedAffine(nn.Module):
    """σ(g)·(s ⊙ x + b): what X5 has of a task's own; starts at g = 0, s = 1, b = 0.

    Args:
        dim: channels D.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))
        self.scale = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return torch.sigmoid(self.gate) * (self.scale * x + self.bias)


class TaskAdaptiveMixer(Mixer):
    """X5: x + σ(g_t)·(s_t ⊙ mixed(x) + b_t): the convolutions are shared and frozen, the rest is the task's own.

    Starts as the identity.
    """

    def __init__(self, dim: int, kernel: int, trains_in: Callable[[Task], bool]):
        super().__init__(dim, kernel, trains_in)
        self.own = PerTask(lambda task: GatedAffine(dim))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + self.own[task](self.mixed(x))
