"""What every extractor promises."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moleflow.data.images import fits
from moleflow.utils.errors import UsageError

STORAGE_DTYPE = torch.float16
"""Features are always rounded to this type, cached or not, so that runs with and without a cache agree."""

FEATURES_VERSION = 1
"""Raise it when a change of the code changes features: every cached feature then counts as missing."""


class Normalization(NamedTuple):
    """Per-channel mean and standard deviation that a backbone was trained with, of RGB in 0..1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Extractor(nn.Module, ABC):
    """A frozen backbone that turns an image into a grid of patch features.

    Its weights have no gradients and it stays in evaluation mode whatever ``train()`` says. Gradients pass through the
    fixed weights to images that ask for them (``images.requires_grad``); for others nothing is recorded.

    Attributes:
        dim: channels D of a patch feature.
        grid: (H, W) of the features.
        stride: image pixels from one cell of the grid to the next, rounded.
        img_size: side s of the square images it takes, in pixels.
        any_shape: whether it takes images of other shapes as well (``resize`` fit).
        fingerprint: sha256 hex of everything that changes features: weights, layers, sizes, preprocessing,
            storage type.
    """

    any_shape = False
    mean: Tensor
    std: Tensor

    def __init__(
        self, img_size: int, grid: int, dim: int, normalization: Normalization, recipe: Mapping[str, object]
    ) -> None:
        """Declare the contract.

        Args:
            img_size: side of the images in pixels.
            grid: side of the feature grid.
            dim: channels of a patch feature.
            normalization: applied to images inside ``forward``.
            recipe: what else changes features (backbone, layers, weights hash, ...), as JSON values.
        """
        super().__init__()
        self.img_size = img_size
        self.grid = (grid, grid)
        self.stride = round(img_size / grid)
        self.dim = dim
        self.fingerprint = _fingerprint(
            {**recipe, "img_size": img_size, "grid": grid, "dim": dim, "normalization": normalization}
        )
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images, rounded through ``STORAGE_DTYPE``; for gradients, rounding counts as the identity.

        Args:
            images: RGB in 0..1, float32 (B, 3, s, s), or of another shape with about as many pixels (``resize`` fit).

        Returns:
            Patch features, float32 (B, H, W, D).

        Raises:
            UsageError: the images have another shape.
        """
        features = self._features(self._normalized(images))
        rounded = features.detach().to(STORAGE_DTYPE).float()
        if not features.requires_grad:
            return rounded
        return features + (rounded - features.detach())  # exact: both are so close that float32 holds the difference

    def train(self, mode: bool = True) -> "Extractor":
        """Stay in evaluation mode: batch-norm statistics of a frozen backbone must not move."""
        return super().train(False)

    def freeze(self) -> None:
        """Fix all weights; subclasses call it when they are built."""
        self.requires_grad_(False)
        self.eval()

    @abstractmethod
    def _features(self, images: Tensor) -> Tensor:
        """Features (B, H, W, D) of normalised images (B, 3, h, w), differentiable with respect to them."""

    def _normalized(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not self._takes(*images.shape[2:]):
            raise UsageError(
                f"the extractor expects images of shape (batch, 3, {self.img_size}, {self.img_size}), "
                f"found {tuple(images.shape)}: resize them or build the extractor for their size"
            )
        return (images - self.mean) / self.std

    def _takes(self, height: int, width: int) -> bool:
        """Whether images of this size will do."""
        return height == width == self.img_size or (self.any_shape and fits(height, width, self.img_size))


def _fingerprint(recipe: Mapping[str, object]) -> str:
    everything = {**recipe, "version": FEATURES_VERSION, "storage": str(STORAGE_DTYPE)}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()
