"""Gradients image by image, in an order that depends on names alone."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from moleflow.extractors.task_features import TaskFeatures
from moleflow.utils.seed import derive_seed


def chosen_images(images: int, count: int, seed: int, *names: str) -> list[int]:
    """At most ``count`` of the images, drawn by (seed, names), ascending."""
    generator = torch.Generator().manual_seed(derive_seed(seed, *names))
    return sorted(torch.randperm(images, generator=generator)[:count].tolist())


def per_image_gradients(
    loss: Callable[[Tensor], Tensor], parameters: Sequence[nn.Parameter], normal: TaskFeatures, images: Sequence[int]
) -> Iterator[tuple[Tensor, ...]]:
    """For each image the gradient of its loss with respect to each parameter, zero where it has none.

    Args:
        loss: of features (1, H, W, D), a scalar.
        parameters: those wanted; they are differentiable while this runs and again as they were after.
        normal: the features.
        images: which of them.
    """
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    for image in images:
        yield torch.autograd.grad(loss(normal.take([image])), parameters, materialize_grads=True)
    for parameter, was in zip(parameters, before, strict=True):
        parameter.requires_grad_(was)
