"""The contracts of the places in the data path, and the objects that stand there when a part is absent."""

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function


class Latent(NamedTuple):
    """Where the data path ends.

    Attributes:
        x: what entered the flow, (B, H, W, D).
        z: latent patches, (B, H, W, D).
        adapter_logdet: log|det| of the adapter before the flow, (B, H, W).
        flow_logdet: log|det| of the flow and of the adapter after it, (B, H, W).
    """

    x: Tensor
    z: Tensor
    adapter_logdet: Tensor
    flow_logdet: Tensor

    @property
    def nll(self) -> Tensor:
        """Negative log-likelihood of each patch, ½‖z‖² + D/2·log 2π − log|det|, in nats: (B, H, W)."""
        return gaussian_energy(self.z) - self.adapter_logdet - self.flow_logdet


def gaussian_energy(z: Tensor) -> Tensor:
    """−log N(z; 0, I) = ½‖z‖² + D/2·log 2π, in nats: (…, D) -> (…)."""
    return HalfSquaredLength.apply(at_least_float32(z)) + 0.5 * z.shape[-1] * math.log(2 * math.pi)


class HalfSquaredLength(Function):
    """½‖z‖² and its gradient z; autograd would go over z five times instead of twice."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """(…, D) -> (…)."""
        ctx.save_for_backward(z)
        return torch.linalg.vector_norm(z, dim=-1).square_().mul_(0.5)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Gradient of z."""
        return gradients[0][..., None] * ctx.saved_tensors[0]


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or as it is where it is more precise: sums over channels are never taken in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def taken(values: Tensor, places: Tensor | None) -> Tensor:
    """Values (B, H, W, …) at places (B, K) of the flattened grid, as a grid of one row (B, 1, K, …); None: all."""
    if places is None:
        return values
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values.flatten(1, 2)[rows, places][:, None]


class ImageMapping(nn.Module, ABC):
    """Images to images of the same shape, before the backbone."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, h, h) in 0..1 -> the same."""


class NoImageMapping(ImageMapping):
    """Images enter the backbone as they are."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the images."""
        return images


class Mapping(nn.Module, ABC):
    """Features to features of the same shape, no bijection: position, context.

    Attributes:
        maps_apart: whether it maps each patch by itself, wherever that lies and whatever is around it.
    """

    maps_apart = False

    @abstractmethod
    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""


class Stage(nn.Module, ABC):
    """Features to features with a log-determinant for each patch: adapter, flow, DIA.

    Attributes:
        maps_apart: whether it maps each patch by itself, wherever that lies and whatever is around it.
    """

    maps_apart = False

    @abstractmethod
    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and log|det| (B, H, W)."""

    def looking_at(self, places: Tensor | None, task: str) -> AbstractContextManager[None]:
        """Take patches (B, 1, K, D) that come meanwhile for those at places (B, K) of the flattened grid; None: all.

        Nothing to do for a stage that does not ask where a patch lies.
        """
        return nullcontext()


class InvertibleStage(Stage):
    """A stage that is a bijection."""

    @abstractmethod
    def inverse(self, z: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D), undoing ``forward``."""


class NoMapping(Mapping):
    """The absent position or context."""

    maps_apart = True

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Return x."""
        return x


class NoStage(InvertibleStage):
    """The absent adapter or DIA: the identity, log|det| = 0."""

    maps_apart = True

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """Return x and zeros."""
        return x, x.new_zeros(x.shape[:-1])

    def inverse(self, z: Tensor, task: str) -> Tensor:
        """Return z."""
        return z
