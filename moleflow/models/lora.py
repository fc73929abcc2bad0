"""F5, F8: linear layers of the subnets: one shared weight, and per task a low-rank delta (LoRA, Hu et al. 2022)."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.models.task import PerTask


class TaskLinear(nn.Module, ABC):
    """A linear layer that may differ from task to task: (…, in) -> (…, out)."""

    base: nn.Linear

    @abstractmethod
    def forward(self, x: Tensor, task: str) -> Tensor:
        """Apply the task's weight and bias."""


class SharedLinear(TaskLinear):
    """The same linear layer for every task."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.base = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """x·Wᵀ + b."""
        return self.base(x)


class Delta(nn.Module, ABC):
    """What a task adds to a linear layer's weight and bias."""

    @abstractmethod
    def added_to(self, base: nn.Linear) -> tuple[Tensor, Tensor]:
        """The layer's weight (out, in) and bias (out,) with the delta in."""


class NoDelta(Delta):
    """The delta of a task that has none."""

    def added_to(self, base: nn.Linear) -> tuple[Tensor, Tensor]:
        """The layer's own weight and bias."""
        return base.weight, base.bias


class LowRankDelta(Delta):
    """scale·B·A and, if asked, a bias; A starts Kaiming-uniform, B and the bias at zero: a new task starts at the base.

    Args:
        in_features, out_features: shape of the layer it is added to.
        rank: rank of the product, cut to the smaller side of the layer.
        scale: factor of the product (α/r).
        bias: whether the task has a bias of its own.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float, bias: bool):
        super().__init__()
        rank = min(rank, in_features, out_features)
        self.scale = scale
        self.A = nn.Parameter(torch.empty(rank, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, rank))
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        nn.init.kaiming_uniform_(self.A, a=5**0.5)

    def added_to(self, base: nn.Linear) -> tuple[Tensor, Tensor]:
        """W + scale·B·A and b + b_t."""
        weight = torch.addmm(base.weight, self.B, self.A, alpha=self.scale)
        return weight, base.bias if self.bias is None else base.bias + self.bias


class DeltaLinear(TaskLinear):
    """y = x·W_tᵀ + b_t, where the task's delta makes W_t and b_t of the shared weight and bias.

    The delta is folded into W before x sees it: a patch costs one matrix product whatever the delta, in training too
    (there are far more patches than rows of W). Folded weights of frozen tasks are kept until an expert changes.

    Args:
        in_features, out_features: shape of the layer.
        make: makes a task's delta.
        in_first: whether the first task has a delta too.
    """

    def __init__(self, in_features: int, out_features: int, make: Callable[[], Delta], in_first: bool):
        super().__init__()
        self.base = nn.Linear(in_features, out_features)
        self.deltas: PerTask[Delta] = PerTask(lambda task: NoDelta() if task.is_first and not in_first else make())
        self._merged: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Apply the task's weight and bias: (…, in) -> (…, out)."""
        weight, bias = self._folded(task)
        return F.linear(x, weight, bias)

    def _folded(self, task: str) -> tuple[Tensor, Tensor]:
        delta = self.deltas[task]
        learns = any(parameter.requires_grad for part in (self.base, delta) for parameter in part.parameters())
        if learns or torch.is_autocast_enabled(self.base.bias.device.type):
            return delta.added_to(self.base)
        if task not in self._merged:
            with torch.no_grad():
                self._merged[task] = delta.added_to(self.base)
        return self._merged[task]

    def experts_changed(self) -> None:
        """Forget the folded weights."""
        self._merged.clear()


class LoRALinear(DeltaLinear):
    """y = x·(W + scale·B_t·A_t)ᵀ + b + b_t.

    Args:
        in_features, out_features: shape of the layer.
        rank, scale, bias: see ``LowRankDelta``.
        in_first: whether the first task has a delta too.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, scale: float, bias: bool, in_first: bool):
        make = lambda: LowRankDelta(in_features, out_features, rank, scale, bias)
        super().__init__(in_features, out_features, make, in_first)
