"""What contexts before the flow have in common: all tasks share them, and they learn when the freeze policy says so."""

from collections.abc import Callable

from torch import nn

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
    padding = dilation * (kernel // 2)
    return nn.Conv2d(dim, dim, kernel, padding=padding, dilation=dilation, groups=dim, padding_mode="replicate")
