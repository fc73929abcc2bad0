"""D1, ``--dia_n_blocks auto``: a DIA whose number of blocks is chosen for each task by trying."""

from collections.abc import Sequence

import torch
from FrEIA.framework import SequenceINN
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.coupling import Halves
from moleflow.models.dia.coupling_dia import CouplingDia
from moleflow.models.task import PerTask

CHOICES = (2, 3, 4, 5, 6)
USUAL = 4
"""Blocks of a task in which nothing is tried: D1's number."""


class FirstBlocks(nn.Module):
    """The first ``active`` of some coupling blocks; the others are kept, so that every expert has the same shapes.

    Args:
        blocks: all blocks.
        active: how many of them act.
    """

    active: Tensor

    def __init__(self, blocks: SequenceINN, active: int):
        super().__init__()
        self.blocks = blocks
        self.register_buffer("active", torch.tensor(active))

    def forward(self, x_or_z: Halves, c: Sequence[str], rev: bool = False) -> tuple[Halves, Tensor]:
        """As FrEIA's sequence: halves to halves and the log|det| of this direction, (B, H, W)."""
        acting = list(self.blocks.module_list)[: int(self.active)]
        logdet = x_or_z[0].new_zeros(())
        for block in reversed(acting) if rev else acting:
            x_or_z, change = block(x_or_z, c=c, rev=rev)
            logdet = logdet + change
        return x_or_z, logdet


class AutoDia(CouplingDia):
    """D1 with 2 to 6 blocks: who trains asks for ``choices``, tries each from one start and keeps the likeliest.

    Where shared weights learn with the task (the first one), candidates have no common start and D1's 4 blocks stay.
    The first n blocks start alike for every n.

    Args:
        shape: (H, W, D) of the latent; any D ≥ 2, odd too.
        hidden_ratio: hidden width as a share of D.
        clamp: bound of the log-scale.
    """

    def __init__(self, shape: tuple[int, int, int], hidden_ratio: float, clamp: float):
        super().__init__(shape, max(CHOICES), hidden_ratio, clamp)
        make = self.blocks.make
        self.blocks = PerTask(lambda task: FirstBlocks(make(task), USUAL))

    def choices(self, task: Task) -> Sequence[int]:
        """Numbers of blocks to try."""
        return CHOICES

    def choose(self, task: Task, choice: int) -> None:
        """Let the first ``choice`` blocks of the task act."""
        self.blocks[task.name].active.fill_(choice)
