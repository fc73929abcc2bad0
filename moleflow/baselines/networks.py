"""Small convolutional parts that our own image peers are made of."""

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.extractors.backbones import find_backbone
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.library import timm
from moleflow.extractors.weights import load_exactly, resolve_weights

WIDTHS = (32, 64, 128, 128)
"""Channels at strides 2, 4, 8, 16."""
ALL_CHANNELS = 1 << 20


def conv_block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch norm, leaky ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
    )


class Upward(nn.Module):
    """Bilinear enlargement by two, then a block."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.block = conv_block(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', 2h, 2w)."""
        return self.block(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))


def encoder(inputs: int = 3, widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    """Images (B, 3, s, s) -> (B, C, s/16, s/16)."""
    sizes = [inputs, *widths]
    return nn.Sequential(*(conv_block(a, b, 2) for a, b in itertools.pairwise(sizes)))


def decoder(latent: int, outputs: int = 3, widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    """Latents (B, L, s/16, s/16) -> images in 0..1 (B, 3, s, s)."""
    sizes = [latent, *reversed(widths)]
    ups = [Upward(a, b) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*ups, nn.Conv2d(sizes[-1], outputs, 3, 1, 1), nn.Sigmoid())


class UNet(nn.Module):
    """An encoder whose stages are handed to the decoder's stages of their size.

    Args:
        inputs: channels in.
        outputs: channels out, no activation.
        widths: channels at strides 1, 2, 4, …
    """

    def __init__(self, inputs: int = 3, outputs: int = 3, widths: Sequence[int] = (16, 32, 64, 128)):
        super().__init__()
        downs = [conv_block(inputs, widths[0])]
        downs += [conv_block(a, b, 2) for a, b in itertools.pairwise(widths)]
        pairs = list(zip(widths[1:], widths[:-1], strict=True))
        self.downs = nn.ModuleList(downs)
        self.ups = nn.ModuleList([Upward(a, b) for a, b in reversed(pairs)])
        self.joins = nn.ModuleList([conv_block(2 * b, b) for _, b in reversed(pairs)])
        self.head = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, s, s) -> (B, C', s, s) and the deepest stage."""
        stages = []
        for down in self.downs:
            x = down(x)
            stages.append(x)
        deepest = stages.pop()
        for up, join in zip(self.ups, self.joins, strict=True):
            x = join(torch.cat([up(x), stages.pop()], 1))
        return self.head(x), deepest


class BackboneEncoder(nn.Module):
    """A timm network up to stride 16 that is trained along.

    Args:
        name: timm's name, or ``resnet50_v1``.
        weights: file of its first weights; None: from scratch.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: str | None):
        super().__init__()
        known = find_backbone(name)
        places = _places(known.timm_name)
        network: Any = timm.create_model(known.timm_name, features_only=True, out_indices=(places[16],))
        known.adapt(network)
        if weights is not None:
            load_exactly(network, resolve_weights(name, weights, random=False, seed=0))
        self.network, self.dim = network, int(network.feature_info.channels()[0])
        self.register_buffer("mean", torch.tensor(known.normalization.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(known.normalization.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, s, s) in 0..1 -> (B, C, s/16, s/16)."""
        return self.network((images - self.mean) / self.std)[0]


def _places(timm_name: str) -> dict[int, int]:
    """Stride -> place of the deepest stage of that stride."""
    with torch.device("meta"):
        network: Any = timm.create_model(timm_name, features_only=True)
    return {stage["reduction"]: place for place, stage in enumerate(network.feature_info.info)}


class Pyramid(nn.Module):
    """Stages of a backbone, with its normalization in front.

    Args:
        network: images to stages.
        mean, std: of its input, (1, 3, 1, 1).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, s, s) in 0..1 -> stage's number -> (B, C, h, w)."""
        stages = self.network((images - self.mean) / self.std)
        return {str(place): stage for place, stage in enumerate(stages)}

    def untrained(self) -> "Pyramid":
        """The same architecture with new first weights, that learns."""
        twin = copy.deepcopy(self).requires_grad_(True)
        for module in twin.modules():
            getattr(module, "reset_parameters", lambda: None)()
        return twin


def pyramid(backbone: str, layers: Sequence[str], weights: str | None, random: bool, seed: int) -> Pyramid:
    """Stages of a frozen backbone.

    Raises:
        UsageError: the backbone or a layer is unknown, or no weights can be found.
    """
    found = resolve_weights(backbone, weights, random, seed)
    extractor = CnnExtractor(backbone, layers, ALL_CHANNELS, 256, None, found)
    return Pyramid(extractor.network, extractor.mean, extractor.std)
