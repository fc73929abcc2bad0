"""P6: position as the flow's condition: subnets are told where their patch is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from moleflow.models.coupling import AsksWhere, SubnetFactory
from moleflow.models.stages import taken


def wave_code(height: int, width: int, channels: int) -> Tensor:
    """Codes (height, width, channels) of grid positions: sines and cosines of rows and columns, slow waves first.

    A quarter of the channels each for sin and cos of the row and of the column; from a quarter of a period over the
    grid upwards, four octaves in all.
    """
    waves = channels // 4
    frequency = 0.5 * math.pi * 2.0 ** (4.0 * torch.arange(waves) / waves)
    rows = (torch.arange(height) / height)[:, None, None] * frequency
    columns = (torch.arange(width) / width)[None, :, None] * frequency
    parts = [wave(angle).expand(height, width, waves) for angle in (rows, columns) for wave in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1)


class PositionConditioned(AsksWhere):
    """(s, t) = subnet([x₁, code]): the flow models p(x | position).

    The code is no part of what is transformed, so the coupling stays invertible and its log-det is what it was.

    Args:
        passive, active: channels of the halves.
        subnet: makes the subnet that is told; it sees the code as further passive channels.
        grid: (H, W).
        channels: length of the code, a multiple of 4.
    """

    code: Tensor

    def __init__(self, passive: int, active: int, subnet: SubnetFactory, grid: tuple[int, int], channels: int):
        super().__init__()
        self.register_buffer("code", wave_code(*grid, channels), persistent=False)
        self.subnet = subnet(passive + channels, active)
        self._places: Tensor | None = None

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, d₁) -> s and t, each (B, H, W, d₂)."""
        code = taken(self.code.to(x.dtype).expand(len(x), -1, -1, -1), self._places)
        return self.subnet(torch.cat([x, code], dim=-1), task)

    @contextmanager
    def looking_at(self, places: Tensor) -> Iterator[None]:
        """Take patches (B, 1, K, d₁) that come meanwhile for those at places (B, K) of the flattened grid."""
        self._places = places
        try:
            yield
        finally:
            self._places = None
