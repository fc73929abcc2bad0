"""X2, X3: neighbourhoods of three sizes at once, by dilated convolutions (Yu and Koltun 2016)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.context.shared import SharedContext, depthwise, zero_linear
from moleflow.models.task import PerTask

DILATIONS = (1, 2, 4)


class Scales(SharedContext):
    """The convolutions of X2 and X3: depthwise 3×3 with dilation 1, 2 and 4, and a 1×1 fusion that starts at zero.

    Args:
        dim: channels D.
        trains_in: whether the convolutions learn in a task.
    """

    def __init__(self, dim: int, trains_in: Callable[[Task], bool]):
        super().__init__(trains_in)
        self.branches = nn.ModuleList(depthwise(dim, 3, dilation) for dilation in DILATIONS)
        self.fusion = zero_linear(len(DILATIONS) * dim, dim)

    def around(self, x: Tensor) -> Tensor:
        """Each patch's neighbourhood at each scale: (B, H, W, D) -> (B, H, W, 3, D)."""
        channels_first = x.permute(0, 3, 1, 2)
        return torch.stack([branch(channels_first).permute(0, 2, 3, 1) for branch in self.branches], dim=-2)

    def fused(self, around: Tensor) -> Tensor:
        """(B, H, W, 3, D) -> (B, H, W, D)."""
        return self.fusion(around.flatten(-2))


class MultiScaleContext(Scales):
    """X2: x + σ(g)·fused(around(x)), the same for all tasks; starts as the identity."""

    def __init__(self, dim: int, trains_in: Callable[[Task], bool]):
        super().__init__(dim, trains_in)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + torch.sigmoid(self.gate) * self.fused(self.around(x))


class ScaleWeights(nn.Module):
    """What X3 has of a task's own: a gate and a weight for each scale, starting at g = 0 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))
        self.weights = nn.Parameter(torch.ones(len(DILATIONS), 1))


class TaskMultiScaleContext(Scales):
    """X3: x + σ(g_t)·fused(w_t ⊙ around(x)), with a gate and a weight for each scale of the task's own.

    Starts as the identity.
    """

    def __init__(self, dim: int, trains_in: Callable[[Task], bool]):
        super().__init__(dim, trains_in)
        self.own = PerTask(lambda task: ScaleWeights())

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        own = self.own[task]
        return x + torch.sigmoid(own.gate) * self.fused(own.weights * self.around(x))
