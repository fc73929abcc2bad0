"""E and I: how an image becomes features."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class Cnn:
    """E1: stages of a frozen CNN, 3×3 pooled, on one grid, concatenated, pooled to ``embed_dim`` channels."""

    layers: tuple[str, ...] = knob(("layer2", "layer3"), "Backbone stages to use (layer1 = stride 4).", "cnn_layers")
    frame: str = knob(
        "left_out",
        "Cells beyond the frame in the 3×3 mean (zeros: as PatchCore has it).",
        "pool_frame",
        choices=("left_out", "zeros"),
    )
    shares: str = knob(
        "width",
        "What a stage's share of the channels is proportional to, where there are more than embed_dim.",
        "channel_shares",
        choices=("width", "root"),
    )


@dataclass(frozen=True)
class Vit:
    """E2: patch tokens of several blocks of a frozen vision transformer."""

    blocks: tuple[int, ...] = knob((8, 9, 10, 11), "Transformer blocks whose patch tokens are used.", "vit_blocks")
    combine: str = knob("mean", "How the blocks are joined.", "vit_combine", choices=("mean", "concat"))


@dataclass(frozen=True)
class AsIs:
    """Images enter the backbone as they are."""


@dataclass(frozen=True)
class RandomRotation:
    """I1: training images are seen under random rotations; test images are not."""

    degrees: float = knob(180.0, "Largest rotation, in degrees either way.", "rotation_degrees", low=0, high=180)
    views: int = knob(
        4,
        "Fixed rotated views of each training image (0: new ones in every step, without cache).",
        "cache_views",
        low=0,
    )


@dataclass(frozen=True)
class SpatialTransformer:
    """I2: a small CNN predicts how to warp an image before the backbone; it learns in the first task."""

    mode: str = knob("rotation", "What it predicts.", "stn_mode", choices=("rotation", "affine"))
    hidden_dim: int = knob(128, "Hidden width of its head.", "stn_hidden_dim", low=1)
    reg_weight: float = knob(0.01, "Weight of the penalty on the warp's size.", "stn_rotation_reg_weight", low=0)
