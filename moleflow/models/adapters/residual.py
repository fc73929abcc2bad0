"""The gated residual perceptron that A3 and A4 share."""

import torch
from torch import Tensor, nn


class GatedPerceptron(nn.Module):
    """x + σ(g)·W₂·gelu(W₁·x); g starts at 0, so the gate's value at ½, and W₂ at zero: it starts as the identity.

    A gate whose value were 0 in front of a perceptron that ends in zeros could never learn.

    Args:
        dim: channels.
        hidden: width between.
    """

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.enter = nn.Linear(dim, hidden)
        self.leave = nn.Linear(hidden, dim)
        self.gate = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) -> (…, D)."""
        return x + torch.sigmoid(self.gate) * self.leave(nn.functional.gelu(self.enter(x)))
