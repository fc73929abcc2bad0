"""The clamped affine coupling (Dinh et al. 2017) on FrEIA's framework, and the shared flow made of such blocks."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import InvertibleModule
from torch import Tensor, nn
from torch.autograd import Function

from moleflow.config.task import Task
from moleflow.models.stages import InvertibleStage, at_least_float32

SubnetFactory = Callable[[int, int], nn.Module]
"""(passive channels, active channels) -> subnet(passive half (B, H, W, d₁), task) -> (s, t), each (B, H, W, d₂)."""


Halves = tuple[Tensor, Tensor]


class AsksWhere(nn.Module, ABC):
    """A part of a subnet that treats a patch by where it lies."""

    @abstractmethod
    def looking_at(self, places: Tensor) -> AbstractContextManager[None]:
        """Take patches (B, 1, K, d) that come meanwhile for those at places (B, K) of the flattened grid."""


class BoundedAffine(Function):
    """(x, s, t) -> x·exp(s̃) + t and Σ s̃ over the channels, with s̃ = c·tanh(s/c), and their gradients in closed form.

    With σ = sigmoid(2s/c), s̃ is 2c·(σ − ½) and its slope 1 − tanh² is 4·(σ − σ²). With g and h the gradients of the
    outputs: ∂x = g·exp(s̃), ∂s = (∂x·x + h)·4·(σ − σ²), ∂t = g. Autograd would keep twice as many tensors and go over
    them twice as often. σ, exp(s̃) and the sum are in float32 at least.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, t: Tensor, clamp: float) -> tuple[Tensor, Tensor]:
        """Three tensors (…, d) -> (…, d) and (…)."""
        sigma = squashed(s, clamp)
        scale = exponential(sigma, clamp)
        ctx.save_for_backward(x, s, sigma, scale)
        ctx.clamp, ctx.shift_dtype = clamp, t.dtype
        return torch.addcmul(t, x, scale), summed(sigma, clamp)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of x, s and t; where they are differentiated in turn, σ is computed again with its graph."""
        x, s, sigma, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            sigma = squashed(s, ctx.clamp)
            scale = exponential(sigma, ctx.clamp)
        of_y, of_logdet = gradients
        of_x = of_y * scale
        slope = torch.addcmul(sigma, sigma, sigma, value=-1)  # a quarter of it
        of_s = torch.addcmul(4 * of_logdet[..., None], of_x, x, value=4).mul_(slope)
        return of_x.to(x.dtype), of_s.to(s.dtype), of_y.to(ctx.shift_dtype), None


def squashed(s: Tensor, clamp: float) -> Tensor:
    """σ = sigmoid(2s/c) = (1 + tanh(s/c))/2, in float32 at least; torch's tanh takes ten times its sigmoid's time."""
    return (at_least_float32(s) * (2 / clamp)).sigmoid_()


def exponential(sigma: Tensor, clamp: float) -> Tensor:
    """exp(s̃) = 2^(s̃·log₂e) with s̃ = 2c·σ − c; torch's exp takes four times its exp2's time on a CPU."""
    most = clamp * math.log2(math.e)
    return torch.rsub(sigma, -most, alpha=-2 * most).exp2_()  # −most + 2·most·σ


def summed(sigma: Tensor, clamp: float) -> Tensor:
    """Σ s̃ = 2c·(Σσ − d/2) over the channels, (…, d) -> (…)."""
    return (sigma.sum(-1) - sigma.shape[-1] / 2) * (2 * clamp)


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
        sizes = halves_of(dims_in[0][-1])
        self.flip = flip
        self.clamp = clamp
        passive, active = reversed(sizes) if flip else sizes
        self.subnet = subnet(passive, active)

    def forward(
        self, x_or_z: Iterable[Tensor], c: Iterable[str], rev: bool = False, jac: bool = True
    ) -> tuple[Halves, Tensor]:
        """FrEIA's contract: halves (B, H, W, d₁), (B, H, W, d₂) -> the same and this direction's log|det| (B, H, W)."""
        (first, second), (task,) = x_or_z, c
        passive, active = (second, first) if self.flip else (first, second)
        log_scale, shift = self.subnet(passive, task)
        if rev:
            sigma = squashed(log_scale, self.clamp)
            active, logdet = (active - shift) / exponential(sigma, self.clamp), -summed(sigma, self.clamp)
        else:
            active, logdet = BoundedAffine.apply(active, log_scale, shift, self.clamp)
        return ((active, passive) if self.flip else (passive, active)), logdet

    def output_dims(self, input_dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """FrEIA's shape inference: a coupling keeps the shape."""
        return input_dims


class Blocks(Protocol):
    """Couplings one after another."""

    def __call__(self, x_or_z: Halves, c: Sequence[str], rev: bool = False) -> tuple[Halves, Tensor]:
        """Halves to halves and the log|det| (B, H, W) of this direction."""


def halves_of(dim: int) -> tuple[int, int]:
    """Channels of the first and of the second half."""
    return dim // 2, dim - dim // 2


def through(blocks: Blocks, x: Tensor, task: str, rev: bool = False) -> tuple[Tensor, Tensor]:
    """x through couplings: (B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W).

    Its halves stay apart on the way: joined after each coupling they would be copied twice in each direction.
    """
    halves, logdet = blocks(x.split(halves_of(x.shape[-1]), dim=-1), c=[task], rev=rev)
    return torch.cat(halves, dim=-1), logdet


def coupling_sequence(shape: tuple[int, int, int], layers: int, subnet: SubnetFactory, clamp: float) -> SequenceINN:
    """Coupling blocks on the halves of (H, W, D), whose passive half alternates; ``through`` is how to call them."""
    blocks = SequenceINN(*shape, force_tuple_output=True)
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
        self._asking = tuple(part for part in self.blocks.modules() if isinstance(part, AsksWhere))
        self.trains_in = trains_in
        self.slow_blocks = slow_blocks

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> z (B, H, W, D) and log|det| (B, H, W)."""
        return through(self.blocks, x, task)

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """z -> x, both (B, H, W, D)."""
        return through(self.blocks, z, task, rev=True)[0]

    @contextmanager
    def looking_at(self, places: Tensor | None, task: str) -> Iterator[None]:
        """Take patches (B, 1, K, D) that come meanwhile for those at places (B, K) of the flattened grid; None: all."""
        with ExitStack() as told:
            if places is not None:
                for part in self._asking:
                    told.enter_context(part.looking_at(places))
            yield

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
