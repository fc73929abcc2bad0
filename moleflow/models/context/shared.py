"""What contexts before the flow have in common: all tasks share them, and they learn when the freeze policy says so."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.stages import Mapping


class SharedContext(Mapping):
    """A context whose shared weights learn in the tasks that a policy names.

    No bijection: what contexts do to the features is not part of the likelihood.

    Args:
        trains_in: whether the shared weights learn in a task.
    """

    def __init__(self, trains_in: Callable[[Task], bool]):
        super().__init__()
        self.trains_in = trains_in

    def trains_shared(self, task: Task) -> bool:
        """The freeze policy's answer for the shared weights."""
        return self.trains_in(task)


def zero_linear(in_features: int, out_features: int) -> nn.Linear:
    """A linear layer of zeros: a residual branch that ends in it starts at zero."""
    linear = nn.Linear(in_features, out_features)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def depthwise(dim: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """A convolution of each channel alone that keeps the grid; beyond its edge the grid's last patches are repeated."""
    return EdgeRepeating(dim, dim, kernel, dilation=dilation, groups=dim)


class EdgeRepeating(nn.Conv2d):
    """A convolution that keeps the grid, beyond whose edge the last cells are repeated.

    torch's own padding of that kind adds up gradients in any order on a GPU: two trainings would differ in their bytes.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        reach = self.dilation[0] * (self.kernel_size[0] // 2)
        x = torch.cat([*[x[:, :, :1]] * reach, x, *[x[:, :, -1:]] * reach], dim=2)
        x = torch.cat([*[x[..., :1]] * reach, x, *[x[..., -1:]] * reach], dim=3)
        return nn.functional.conv2d(x, self.weight, self.bias, dilation=self.dilation, groups=self.groups)
