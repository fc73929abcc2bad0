"""P1: a fixed two-dimensional sine-cosine grid (Vaswani et al. 2017, in two dimensions)."""

import torch
from torch import Tensor

from moleflow.models.stages import Mapping


def sincos_grid(height: int, width: int, dim: int) -> Tensor:
    """Codes (height, width, dim): a quarter of the channels each for sin and cos of the row and of the column."""
    quarter = -(-dim // 4)
    frequency = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    rows = torch.arange(height, dtype=torch.float64)[:, None, None] * frequency
    columns = torch.arange(width, dtype=torch.float64)[None, :, None] * frequency
    parts = [wave(angle).expand(height, width, quarter) for angle in (rows, columns) for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1)[..., :dim].float()


class SinCosGrid(Mapping):
    """x + grid, the same grid for every image and task.

    Args:
        shape: (H, W, D) of the features.
    """

    grid: Tensor

    def __init__(self, shape: tuple[int, int, int]):
        super().__init__()
        self.register_buffer("grid", sincos_grid(*shape), persistent=False)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + self.grid
