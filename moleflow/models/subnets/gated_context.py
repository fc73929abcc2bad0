"""F4: the scale-context subnet with a gate for each patch in place of one α."""

import torch
from torch import Tensor, nn

from moleflow.models.subnets.plain import LinearFactory
from moleflow.models.subnets.scale_context import ContextSubnet


class GatedContextSubnet(ContextSubnet):
    """α(p) = α_max·g(p) with g = σ(W₂·relu(W₁·[x₁, ctx(x₁)])), a scalar for each patch.

    W₂ starts at zero, so every gate starts half open: α = α_max/2, F3's usual start. The gate belongs to what tasks
    share and learns with the flow's base.

    Args:
        passive, active, hidden, linear, kernel: see ``ContextSubnet``.
        gate_hidden: width of the gate's perceptron.
        max_alpha: α_max.
    """

    def __init__(
        self,
        passive: int,
        active: int,
        hidden: int,
        linear: LinearFactory,
        kernel: int,
        gate_hidden: int,
        max_alpha: float,
    ):
        super().__init__(passive, active, hidden, linear, kernel)
        self.max_alpha = max_alpha
        leave = nn.Linear(gate_hidden, 1)
        nn.init.zeros_(leave.weight)
        nn.init.zeros_(leave.bias)
        self.gate = nn.Sequential(nn.Linear(2 * passive, gate_hidden), nn.ReLU(), leave)

    def alpha(self, x: Tensor, around: Tensor) -> Tensor:
        """α_max·g, (B, H, W, 1)."""
        return self.max_alpha * torch.sigmoid(self.gate(torch.cat([x, around], dim=-1)))
