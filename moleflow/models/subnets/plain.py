"""F2: the plain subnet."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.models.lora import TaskLinear

LinearFactory = Callable[[int, int], TaskLinear]
"""(in, out) -> a linear layer that may differ from task to task."""


def start_at_zero(linear: TaskLinear) -> TaskLinear:
    """The same layer with zero weight and bias: a subnet that ends in it starts its coupling as the identity."""
    for parameter in linear.base.parameters():
        nn.init.zeros_(parameter)
    return linear


def rectified(x: Tensor) -> Tensor:
    """max(x, 0), written over x where no gradient is asked for: the caller has no other use for it."""
    return torch.relu(x) if x.requires_grad else torch.relu_(x)


class PlainSubnet(nn.Module):
    """(s, t) = W₂·relu(W₁·x₁): two linear layers, one patch at a time.

    Args:
        passive, active: channels in, channels of each output.
        hidden: width between.
        linear: makes a layer.
    """

    def __init__(self, passive: int, active: int, hidden: int, linear: LinearFactory):
        super().__init__()
        self.enter = linear(passive, hidden)
        self.leave = start_at_zero(linear(hidden, 2 * active))

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, d₁) -> s and t, each (B, H, W, d₂)."""
        log_scale, shift = self.leave(rectified(self.enter(x, task)), task).chunk(2, dim=-1)
        return log_scale, shift
