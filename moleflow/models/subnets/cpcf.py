"""F11: CPCF, whose log-scale and shift both see the passive half blended with its neighbourhood."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.models.subnets.plain import LinearFactory, PlainSubnet

OWN_SHARE = 0.7
"""Share of the patch itself in the blend."""


class MeanAround(nn.Module):
    """The mean of the k×k neighbourhood, as far as it lies on the grid.

    Args:
        kernel: k, odd.
    """

    def __init__(self, kernel: int):
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return F.avg_pool2d(x, self.kernel, stride=1, padding=self.kernel // 2, count_include_pad=False)


class LearnedAround(nn.Module):
    """A weighted mean of the k×k neighbourhood: weights softmax(a) for each channel, equal at first.

    Over the border the weights that lie on the grid are scaled to sum to 1.

    Args:
        channels: C.
        kernel: k, odd.
    """

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.a = nn.Parameter(torch.zeros(channels, kernel**2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self._weighted(x) / self._weighted(torch.ones_like(x[:1]))

    def _weighted(self, x: Tensor) -> Tensor:
        weight = torch.softmax(self.a, dim=-1).view(-1, 1, self.kernel, self.kernel)
        return F.conv2d(x, weight, padding=self.kernel // 2, groups=len(weight))


class AttentionAround(nn.Module):
    """Σ_j w_j·x_j over the k×k neighbourhood on the grid, w = softmax(⟨Q·x_p, K·x_j⟩/√d); Q starts at zero: equal w.

    Args:
        channels: C; queries and keys have d = max(1, C/4).
        kernel: k, odd.
    """

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.kernel = kernel
        self.query = nn.Conv2d(channels, max(1, channels // 4), 1, bias=False)
        self.key = nn.Conv2d(channels, max(1, channels // 4), 1, bias=False)
        nn.init.zeros_(self.query.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        query = self.query(x)
        agreement = (query.unsqueeze(2) * self._neighbours(self.key(x))).sum(1) / query.shape[1] ** 0.5
        on_grid = self._neighbours(torch.ones_like(x[:1, :1]))[:, 0] > 0
        weight = torch.softmax(agreement.masked_fill(~on_grid, -torch.inf), dim=1)
        return (weight.unsqueeze(1) * self._neighbours(x)).sum(2)

    def _neighbours(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, k², H, W), zero outside the grid."""
        unfolded = F.unfold(x, self.kernel, padding=self.kernel // 2)
        return unfolded.view(*x.shape[:2], self.kernel**2, *x.shape[2:])


AROUND = {
    "mean": lambda channels, kernel: MeanAround(kernel),
    "learned": LearnedAround,
    "attention": AttentionAround,
}
"""Kind of context -> (channels, kernel) -> module."""


class CpcfSubnet(nn.Module):
    """(s, t) = W₂·relu(W₁·[x₁, c]) with c = 0.7·x₁ + 0.3·around(x₁), the neighbourhood with the patch in it.

    Only the passive half is looked at, so the coupling stays invertible and its Jacobian over the grid triangular.
    A 1×1 neighbourhood gives c = x₁: with W₁ = [W_x, W_c] that is the plain subnet with W_x + W_c. What the context
    learns is shared and learns with the flow's base.

    Args:
        passive, active: channels of the halves.
        hidden: width between.
        linear: makes a layer.
        kernel: side of the neighbourhood, odd.
        around: ``mean``, ``learned`` or ``attention``.
    """

    def __init__(self, passive: int, active: int, hidden: int, linear: LinearFactory, kernel: int, around: str):
        super().__init__()
        self.around = AROUND[around](passive, kernel)
        self.subnet = PlainSubnet(2 * passive, active, hidden, linear)

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, d₁) -> s and t, each (B, H, W, d₂)."""
        around = self.around(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        blend = OWN_SHARE * x + (1 - OWN_SHARE) * around
        return self.subnet(torch.cat([x, blend], dim=-1), task)
