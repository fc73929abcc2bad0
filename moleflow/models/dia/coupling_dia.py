"""D1: DIA, the invertible adapter after the flow that belongs to the task."""

from torch import Tensor, nn

from moleflow.models.coupling import coupling_sequence, through
from moleflow.models.stages import InvertibleStage
from moleflow.models.subnets.plain import rectified
from moleflow.models.task import PerTask


class Rectifier(nn.Module):
    """max(x, 0) of what the layer before made."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return rectified(x)


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Three linear layers, the last one zero."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), Rectifier(), nn.Linear(hidden, hidden), Rectifier(), last)


class DiaSubnet(nn.Module):
    """Log-scale and shift from two three-layer perceptrons."""

    def __init__(self, passive: int, active: int, hidden: int):
        super().__init__()
        self.log_scale = mlp(passive, hidden, active)
        self.shift = mlp(passive, hidden, active)

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, d₁) -> s and t, each (B, H, W, d₂)."""
        return self.log_scale(x), self.shift(x)


class CouplingDia(InvertibleStage):
    """n coupling blocks of the task's own on the flow's output; log|det| adds to the flow's; starts as the identity.

    Args:
        shape: (H, W, D) of the latent; any D ≥ 2, odd too.
        blocks: number of coupling blocks.
        hidden_ratio: hidden width as a share of D.
        clamp: bound of the log-scale.
    """

    def __init__(self, shape: tuple[int, int, int], blocks: int, hidden_ratio: float, clamp: float):
        super().__init__()
        hidden = max(1, round(hidden_ratio * shape[-1]))
        subnet = lambda passive, active: DiaSubnet(passive, active, hidden)
        self.blocks = PerTask(lambda task: coupling_sequence(shape, blocks, subnet, clamp))

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> z (B, H, W, D) and log|det| (B, H, W)."""
        return through(self.blocks[task], x, task)

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """z -> x, both (B, H, W, D)."""
        return through(self.blocks[task], z, task, rev=True)[0]
