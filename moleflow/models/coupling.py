"""The clamped affine coupling (Dinh et al. 2017) on FrEIA's framework, and the shared flow made of such blocks."""

from collections.abc import Callable, Iterable, Sequence

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import InvertibleModule
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.models.stages import InvertibleStage, at_least_float32

SubnetFactory = Callable[[int, int], nn.Module]
"""(passive channels, active channels) -> subnet(passive half (B, H, W, d₁), task) -> (s, t), each (B, H, W, d₂)."""


class AffineCoupling(InvertibleModule):
    """x₂ ← x₂·exp(s̃) + t with (s, t) = subnet(x₁) and s̃ = c·tanh(s/c); x₁ passes unchanged.

    log|det| = Σ s̃ over the active channels, one value for each patch. It is the determinant patch by patch when the
    subnet sees one patch; where the subnet looks at neighbours only the sum over the grid is a determinant (the
    Jacobian stays triangular, because the neighbours are of the passive half).

    Args:
        dims_in: [(H, W, D)], as FrEIA passes it.
        dims_c: unused; the task's name travels as FrEIA's condition.
        subnet: makes the subnet from the sizes of the passive and of the active half.
        clamp: c.
        flip: whether the second half is the passive one.
    """

    def __init__(
        self,
        dims_in: Sequence[tuple[int, ...]],
        dims_c: Sequence[tuple[int, ...]] | None = None,
        *,
        subnet: SubnetFactory,
        clamp: float,
        flip: bool,
    ):
        super().__init__(dims_in, dims_c)
        dim = dims_in[0][-1]
        self.sizes = (dim // 2, dim - dim // 2)
        self.flip = flip
        self.clamp = clamp
        passive, active = reversed(self.sizes) if flip else self.sizes
        self.subnet = subnet(passive, active)

    def forward(
        self, x_or_z: Iterable[Tensor], c: Iterable[str], rev: bool = False, jac: bool = True
    ) -> tuple[tuple[Tensor], Tensor]:
        """FrEIA's contract: ((B, H, W, D),) -> ((B, H, W, D),) and the log|det| of this direction, (B, H, W)."""
        (x,), (task,) = x_or_z, c
        first, second = x.split(self.sizes, dim=-1)
        passive, active = (second, first) if self.flip else (first, second)
        log_scale, shift = self.subnet(passive, task)
        log_scale = self.clamp * torch.tanh(at_least_float32(log_scale) / self.clamp)
        logdet = log_scale.sum(-1)
        if rev:
            active, logdet = (active - shift) * torch.exp(-log_scale), -logdet
        else:
            active = active * torch.exp(log_scale) + shift
        halves = (active, passive) if self.flip else (passive, active)
        return (torch.cat(halves, dim=-1),), logdet

    def output_dims(self, input_dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """FrEIA's shape inference: a coupling keeps the shape."""
        return input_dims


def coupling_sequence(shape: tuple[int, int, int], layers: int, subnet: SubnetFactory, clamp: float) -> SequenceINN:
    """Coupling blocks on (H, W, D) whose passive half alternates; called as ``blocks(x, c=[task])``."""
    blocks = SequenceINN(*shape)
    for layer in range(layers):
        blocks.append(AffineCoupling, cond=0, cond_shape=(), subnet=subnet, clamp=clamp, flip=layer % 2 == 1)
    return blocks


class CouplingFlow(InvertibleStage):
    """F1: the flow all tasks share; its subnets' linears may hold deltas of the tasks' own.

    Args:
        shape: (H, W, D) of the features.
        layers: number of coupling blocks.
        subnet: makes a block's subnet.
        clamp: bound of the log-scale.
        trains_in: whether the shared weights learn in a task (the freeze policy).
        slow_blocks: how many blocks, counted from the last, move in the slow stage of later tasks (F13).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        layers: int,
        subnet: SubnetFactory,
        clamp: float,
        trains_in: Callable[[Task], bool],
        slow_blocks: int = 0,
    ):
        super().__init__()
        self.blocks = coupling_sequence(shape, layers, subnet, clamp)
        self.trains_in = trains_in
        self.slow_blocks = slow_blocks

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> z (B, H, W, D) and log|det| (B, H, W)."""
        return self.blocks(x, c=[task])

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """z -> x, both (B, H, W, D)."""
        return self.blocks(z, c=[task], rev=True)[0]

    def trains_shared(self, task: Task) -> bool:
        """The freeze policy's answer for the shared weights."""
        return self.trains_in(task)

    def moves_slowly(self) -> Sequence[nn.Module]:
        """F13: the last blocks; of their weights the shared ones move."""
        blocks = list(self.blocks.module_list)
        return blocks[max(0, len(blocks) - self.slow_blocks) :]


def first_task_only(task: Task) -> bool:
    """The policy of complete separation: shared weights learn in the first task, then never again."""
    return task.is_first


def every_task(task: Task) -> bool:
    """The policy that forgets: shared weights learn in every task."""
    return True
