"""F3: the scale-context subnet, whose log-scale also sees the passive half's neighbourhood."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.subnets.plain import LinearFactory, start_at_zero


class Surroundings(nn.Conv2d):
    """ctx: a depthwise k×k convolution that starts as the neighbourhood's mean.

    Args:
        channels: channels in and out.
        kernel: side of the neighbourhood, odd.
        trains_in: whether it learns in a task; None: when the flow does.
    """

    def __init__(self, channels: int, kernel: int, trains_in: Callable[[Task], bool] | None):
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        nn.init.constant_(self.weight, 1 / kernel**2)
        if trains_in is not None:
            self.trains_shared = trains_in


class ContextSubnet(nn.Module, ABC):
    """s = f([x₁, α·ctx(x₁)]), t = g(x₁), with ctx a depthwise k×k convolution; subclasses say what α is.

    The neighbourhood is the passive half's, so the coupling stays invertible and its Jacobian over the grid triangular.
    ctx starts as the neighbourhood's mean.

    Args:
        passive, active: channels of the halves.
        hidden: width of f and g.
        linear: makes a layer.
        kernel: side of the neighbourhood, odd.
        context_trains_in: whether ctx learns in a task; None: when the flow does.
    """

    def __init__(
        self,
        passive: int,
        active: int,
        hidden: int,
        linear: LinearFactory,
        kernel: int,
        context_trains_in: Callable[[Task], bool] | None = None,
    ):
        super().__init__()
        self.context = Surroundings(passive, kernel, context_trains_in)
        self.scale_in, self.scale_out = linear(2 * passive, hidden), start_at_zero(linear(hidden, active))
        self.shift_in, self.shift_out = linear(passive, hidden), start_at_zero(linear(hidden, active))

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, d₁) -> s and t, each (B, H, W, d₂)."""
        around = self.context(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        seen = torch.cat([x, self.alpha(x, around) * around], dim=-1)
        log_scale = self.scale_out(torch.relu(self.scale_in(seen, task)), task)
        shift = self.shift_out(torch.relu(self.shift_in(x, task)), task)
        return log_scale, shift

    @abstractmethod
    def alpha(self, x: Tensor, around: Tensor) -> Tensor:
        """How much of ctx is seen beside x, both (B, H, W, d₁): a scalar, or (B, H, W, 1)."""


class ScaleContextSubnet(ContextSubnet):
    """One α = α_max·σ(a) for all patches.

    Args:
        passive, active, hidden, linear, kernel, context_trains_in: see ``ContextSubnet``.
        init_scale: first α, below ``max_alpha``.
        max_alpha: α_max.
    """

    def __init__(
        self,
        passive: int,
        active: int,
        hidden: int,
        linear: LinearFactory,
        kernel: int,
        init_scale: float,
        max_alpha: float,
        context_trains_in: Callable[[Task], bool] | None = None,
    ):
        super().__init__(passive, active, hidden, linear, kernel, context_trains_in)
        share = min(max(init_scale / max_alpha, 1e-4), 1 - 1e-4)
        self.max_alpha = max_alpha
        self.a = nn.Parameter(torch.tensor(math.log(share / (1 - share))))

    def alpha(self, x: Tensor, around: Tensor) -> Tensor:
        """α_max·σ(a), a scalar."""
        return self.max_alpha * torch.sigmoid(self.a)
