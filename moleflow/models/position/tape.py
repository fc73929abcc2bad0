"""P3: TAPE, the task-adaptive position encoding: each task decides how much of the grid it wants."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.position.sincos import sincos_grid
from moleflow.models.stages import Mapping
from moleflow.models.task import PerTask


class Gate(nn.Module):
    """α = σ(g), a learned scalar in (0, 1).

    Args:
        init_value: first value of g.
        lr_factor: factor of g's learning rate (the usual one hardly moves a single logit).
    """

    def __init__(self, init_value: float, lr_factor: float):
        super().__init__()
        self.g = nn.Parameter(torch.tensor(init_value))
        self.lr_factor = lr_factor

    def forward(self) -> Tensor:
        """α, a scalar."""
        return torch.sigmoid(self.g)


class TapeGrid(Mapping):
    """x + α_t·grid with the grid of P1 and α_t = σ(g_t) of the task's own.

    Args:
        shape: (H, W, D) of the features.
        init_value: first value of g_t, the same for every task.
        lr_multiplier: factor of the gates' learning rate.
    """

    grid: Tensor

    def __init__(self, shape: tuple[int, int, int], init_value: float, lr_multiplier: float):
        super().__init__()
        self.register_buffer("grid", sincos_grid(*shape), persistent=False)

        def make(task: Task) -> Gate:
            return Gate(init_value, lr_multiplier)

        self.gates = PerTask(make)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + self.gates[task]() * self.grid
