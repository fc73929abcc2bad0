"""I: what happens to an image before the backbone."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import shared_policy
from moleflow.models.stages import ImageMapping, NoImageMapping
from moleflow.models.warp.spatial_transformer import AffineHead, RotationHead, SpatialTransformer


def build_warp(config: AblationConfig) -> ImageMapping:
    """I2 or nothing (I1 acts on training images when they are read)."""
    match config.image:
        case cfg.SpatialTransformer(mode, hidden, reg_weight):
            head = RotationHead() if mode == "rotation" else AffineHead()
            return SpatialTransformer(head, hidden, reg_weight, shared_policy(config))
        case cfg.AsIs() | cfg.RandomRotation():
            return NoImageMapping()
