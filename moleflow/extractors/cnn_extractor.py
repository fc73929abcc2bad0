"""E1: patch features of a convolutional backbone's stages."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from moleflow.extractors.backbones import Backbone, find_backbone
from moleflow.extractors.base import Extractor
from moleflow.extractors.library import EfficientNetFeatures, MobileNetV3Features, timm
from moleflow.extractors.pooling import BY_WIDTH, LEFT_OUT, checked_grid, joined, pooled_dim, smoothed
from moleflow.extractors.weights import Weights, load_exactly, private_randomness
from moleflow.utils.errors import UsageError


class CnnExtractor(Extractor):
    """Stages of a timm CNN on one grid, as PatchCore builds its features (Roth et al., CVPR 2022).

    Each stage is 3×3 average-pooled and brought to the grid; stages are concatenated and adaptively pooled over
    channels to D = min(embed_dim, channels there are). Only the network up to the deepest stage is built. Images of any
    shape will do: their features are brought to the same square grid.
    """

    any_shape = True

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        embed_dim: int,
        img_size: int,
        feature_grid: int | None,
        weights: Weights,
        frame: str = LEFT_OUT,
        shares: str = BY_WIDTH,
    ) -> None:
        """Build it.

        Args:
            backbone: timm's name of a CNN, or ``resnet50_v1``.
            layers: stages: ``layer1`` to ``layer4`` (strides 4 to 32, whatever the backbone calls them), or by
                stride, ``stride4``.
            embed_dim: channels of a patch feature, at most.
            img_size: side of the images in pixels.
            feature_grid: side of the feature grid; None gives img_size / 16.
            weights: what ``resolve_weights`` found.
            frame: cells beyond the frame in the 3×3 mean: ``left_out``, or ``zeros`` as in PatchCore's code.
            shares: what a stage's share of the channels is proportional to: its ``width``, or the ``root`` of it.

        Raises:
            UsageError: an unknown backbone or layer, an impossible grid, weights of another architecture.
        """
        known = find_backbone(backbone)
        stages = _stages(known, layers)
        network = _cut_network(known, stages)
        load_exactly(network, weights)
        recipe = {"kind": "cnn", "backbone": known.architecture, "stages": stages, "weights": weights.sha256}
        recipe |= {} if frame == LEFT_OUT else {"frame": frame}
        recipe |= {} if shares == BY_WIDTH else {"shares": shares}
        super().__init__(
            img_size,
            checked_grid(feature_grid, max(1, img_size // 16), img_size),
            pooled_dim(embed_dim, sum(network.feature_info.channels())),
            known.normalization,
            recipe,
        )
        self.network = network.to(memory_format=torch.channels_last)  # a third faster on CPUs
        self.frame, self.shares = frame, shares
        self.freeze()

    def _features(self, images: Tensor) -> Tensor:
        stages = self.network(images.contiguous(memory_format=torch.channels_last))  # [(B,C_i,h_i,w_i)]
        return joined([smoothed(maps, self.frame) for maps in stages], self.grid[0], self.dim, self.shares)


def _stages(backbone: Backbone, layers: Sequence[str]) -> list[int]:
    """Places of the layers among the stages of timm's network, shallow first.

    Where several stages have one stride, the deepest of them counts.
    """
    with torch.device("meta"):  # only the shape of the network is asked for
        network: Any = timm.create_model(backbone.timm_name, features_only=True)
    if getattr(network, "output_fmt", "NCHW") == "NHWC":
        raise UsageError(f"backbone {backbone.name} has no convolutional feature maps, expected a CNN")
    place_of = {stage["reduction"]: place for place, stage in enumerate(network.feature_info.info)}
    strides = [_stride(layer) for layer in layers]
    unknown = [layer for layer, stride in zip(layers, strides, strict=True) if stride not in place_of]
    if unknown or not layers or len(set(strides)) < len(strides):
        has = ", ".join(_label(stride) for stride in sorted(place_of))
        raise UsageError(
            f"expected different layers of backbone {backbone.name}, which has {has}; "
            f"found {', '.join(unknown or layers) or 'none'}"
        )
    return sorted(place_of[stride] for stride in strides)


def _stride(layer: str) -> int | None:
    """Stride that a layer's name stands for; None where it stands for none."""
    match = re.fullmatch(r"(layer|stride)(\d{1,3})", layer)
    if match is None:
        return None
    return 2 ** (int(match[2]) + 1) if match[1] == "layer" else int(match[2])


def _label(stride: int) -> str:
    number = stride.bit_length() - 2
    return f"layer{number} (stride{stride})" if number >= 1 and stride == 2 ** (number + 1) else f"stride{stride}"


def _cut_network(backbone: Backbone, stages: Sequence[int]) -> Any:
    """timm's network up to the deepest stage; its first weights are thrown away, and so is their randomness."""
    with private_randomness(0):
        network = timm.create_model(backbone.timm_name, features_only=True, out_indices=tuple(stages))
    backbone.adapt(network)
    if isinstance(network, EfficientNetFeatures | MobileNetV3Features):  # timm leaves these whole and runs all of them
        deepest = network.feature_info.get_dicts(keys=["stage"])[-1]["stage"]
        del network.blocks[deepest:]  # stage 0 is the stem
    return network
