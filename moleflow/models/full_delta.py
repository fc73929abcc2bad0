"""F6: a full-rank delta per task in every linear layer of the flow's subnets."""

import torch
from torch import Tensor, nn

from moleflow.models.lora import Delta, DeltaLinear


class FullDelta(Delta):
    """Δ and, if asked, a bias, both zero at first: a new task starts at the base and may go anywhere from it.

    Args:
        in_features, out_features: shape of the layer it is added to.
        bias: whether the task has a bias of its own.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_features, in_features))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None

    def added_to(self, base: nn.Linear) -> tuple[Tensor, Tensor]:
        """W + Δ and b + b_t."""
        return base.weight + self.weight, base.bias if self.bias is None else base.bias + self.bias


class FullDeltaLinear(DeltaLinear):
    """y = x·(W + Δ_t)ᵀ + b + b_t: what LoRA approximates, at the price of a whole matrix per task.

    Args:
        in_features, out_features: shape of the layer.
        bias: whether a task has a bias of its own.
        in_first: whether the first task has a delta too.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool, in_first: bool):
        super().__init__(in_features, out_features, lambda: FullDelta(in_features, out_features, bias), in_first)
