"""E2: patch tokens of a vision transformer's blocks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from moleflow.extractors.backbones import Backbone, find_backbone
from moleflow.extractors.base import Extractor
from moleflow.extractors.library import Eva, VisionTransformer, timm
from moleflow.extractors.pooling import checked_grid, joined, pooled_dim
from moleflow.extractors.weights import Weights, load_exactly, private_randomness
from moleflow.utils.errors import UsageError

COMBINE_MODES = ("mean", "concat")


class VitExtractor(Extractor):
    """Patch tokens after several blocks of a timm ViT (also DINOv2 and DINOv3), averaged or concatenated.

    Class and register tokens are left out; tokens are taken before the final norm. They are not 3×3 pooled as a CNN's
    stages are: attention has mixed them with the whole image already. Only the blocks up to the deepest are built.
    """

    def __init__(
        self,
        backbone: str,
        blocks: Sequence[int],
        combine: str,
        embed_dim: int,
        img_size: int,
        feature_grid: int | None,
        weights: Weights,
    ) -> None:
        """Build it.

        Args:
            backbone: timm's name of a ViT.
            blocks: numbers of the blocks, from 0.
            combine: ``mean`` or ``concat``.
            embed_dim: channels of a patch feature, at most.
            img_size: side of the images in pixels, a multiple of the patch size.
            feature_grid: side of the feature grid; None gives the backbone's own, img_size / patch size.
            weights: what ``resolve_weights`` found.

        Raises:
            UsageError: no ViT, an unknown block, an impossible size or grid, weights of another architecture.
        """
        known = find_backbone(backbone)
        network, blocks = _cut_network(known, blocks)
        patch = _checked_patch(network, known.name, img_size)
        load_exactly(network, weights)
        network.set_input_size((img_size, img_size))  # after loading: this resamples the position embedding
        channels = network.embed_dim * (len(blocks) if _checked_mode(combine) == "concat" else 1)
        super().__init__(
            img_size,
            checked_grid(feature_grid, img_size // patch, img_size),
            pooled_dim(embed_dim, channels),
            known.normalization,
            {
                "kind": "vit",
                "backbone": known.architecture,
                "blocks": blocks,
                "combine": combine,
                "weights": weights.sha256,
            },
        )
        self.network = network
        self.blocks = blocks
        self.combine = combine
        self.freeze()

    def _features(self, images: Tensor) -> Tensor:
        tokens = self.network.forward_intermediates(
            images, indices=self.blocks, output_fmt="NCHW", intermediates_only=True
        )  # [(B,C,h,w)]
        if self.combine == "mean":
            tokens = [torch.stack(tokens).mean(dim=0)]  # [(B,C,h,w)]
        return joined(tokens, self.grid[0], self.dim)  # (B,H,W,D)


def _cut_network(backbone: Backbone, blocks: Sequence[int]) -> tuple[Any, list[int]]:
    """timm's network up to the deepest block, at the image size its weights belong to; and the blocks, sorted."""
    with private_randomness(0):
        network: Any = timm.create_model(backbone.timm_name, num_classes=0)
    if not isinstance(network, VisionTransformer | Eva):
        raise UsageError(f"backbone {backbone.name} is no vision transformer: use --backbone_type cnn, or a ViT")
    depth = len(network.blocks)
    if not blocks or len(set(blocks)) < len(blocks) or not all(0 <= block < depth for block in blocks):
        found = ", ".join(map(str, blocks)) or "none"
        raise UsageError(f"expected different blocks from 0 to {depth - 1} of backbone {backbone.name}, found {found}")
    network.prune_intermediate_layers(sorted(blocks), prune_norm=True, prune_head=True)
    return network, sorted(blocks)


def _checked_patch(network: Any, name: str, img_size: int) -> int:
    """Side of a patch in pixels."""
    patch: int = network.patch_embed.patch_size[0]
    if img_size % patch or img_size < patch:
        below, above = img_size // patch * patch, (img_size // patch + 1) * patch
        near = f"{below} or {above}" if below else str(above)
        raise UsageError(
            f"expected an image size that is a multiple of {patch}, the patch size of {name}, "
            f"found {img_size}: use {near}"
        )
    return patch


def _checked_mode(combine: str) -> str:
    if combine not in COMBINE_MODES:
        raise UsageError(f"expected combine to be one of {', '.join(COMBINE_MODES)}, found {combine!r}")
    return combine
