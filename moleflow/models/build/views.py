"""V: second views of a task's patches, and how much patches count by where they lie."""

from itertools import cycle

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import Shape
from moleflow.models.scoring.border import BorderRamp
from moleflow.models.scoring.fusion import FlowAlone, Fusion
from moleflow.models.scoring.ground import GroundWeight
from moleflow.models.scoring.scorer import NoScoreMapping, ScoreMapping
from moleflow.models.views.base import FusedViews, View
from moleflow.models.views.patch_memory import PatchMemory
from moleflow.models.views.place_gaussian import PlaceGaussian


def build_fusion(config: AblationConfig, shape: Shape) -> Fusion:
    """The flow's score fused with the configured views, or alone."""
    views = build_views(config, shape)
    if not views:
        return FlowAlone()
    match config.map_source:
        case cfg.MapOfAll():
            return FusedViews(views)
        case cfg.MapOfFinest(flow_share):
            finest = [number for number, view in enumerate(views, 1) if view.grid == shape[:2]]
            return FusedViews(views, finest, flow_share)


def build_views(config: AblationConfig, shape: Shape) -> list[View]:
    """V1 and V3, where they are configured."""
    views: list[View] = []
    match config.place_gaussian:
        case cfg.PlaceGaussian(grid, rank):
            views.append(PlaceGaussian(shape, grid, rank))
    match config.patch_memory:
        case cfg.PatchMemory() as memory:
            views += [
                PatchMemory(
                    shape,
                    pooling,
                    memory.size,
                    memory.counts,
                    memory.candidates,
                    shallow,
                    directions,
                    tells_usual=pooling == 1 and isinstance(config.border, cfg.GroundWeight),
                )
                for pooling, shallow, directions in zip(
                    memory.poolings, cycle(memory.shallow), cycle(memory.directions), strict=False
                )  # one number for all memories, or one each
            ]
    return views


def build_border(config: AblationConfig, shape: Shape, fusion: Fusion) -> ScoreMapping:
    """V2, V6 or nothing; V6 asks the memory on the features' own grid."""
    match config.border:
        case cfg.BorderRamp(share):
            return BorderRamp(shape[:2], share)
        case cfg.GroundWeight(quantile):
            memories = [part for part in fusion.modules() if isinstance(part, PatchMemory) and part.grid == shape[:2]]
            return GroundWeight(shape[:2], quantile, memories[0].usual)
        case cfg.NoBorderRamp():
            return NoScoreMapping()
