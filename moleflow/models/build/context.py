"""X: context before the flow."""

from functools import partial

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import Shape, shared_policy
from moleflow.models.build.sharing import shared_or_own
from moleflow.models.context.attention import GlobalContext, PatchAttention
from moleflow.models.context.multi_scale import MultiScaleContext, TaskMultiScaleContext
from moleflow.models.context.semantic_projector import SemanticProjector
from moleflow.models.context.spatial_mixer import SpatialMixer, TaskAdaptiveMixer
from moleflow.models.coupling import every_task
from moleflow.models.stages import Mapping, NoMapping


def build_context(config: AblationConfig, shape: Shape) -> Mapping:
    """X1 to X7, or nothing; shared by all tasks or (F7) each task's own."""
    return shared_or_own(config, partial(_context, config, shape))


def _context(config: AblationConfig, shape: Shape) -> Mapping:
    dim, policy = shape[-1], shared_policy(config)
    match config.context:
        case cfg.SpatialMixer(kernel, freeze):
            return SpatialMixer(dim, kernel, policy if freeze else every_task)
        case cfg.MultiScaleContext():
            return MultiScaleContext(dim, policy)
        case cfg.TaskMultiScaleContext():
            return TaskMultiScaleContext(dim, policy)
        case cfg.PatchAttention():
            return PatchAttention(dim, policy)
        case cfg.TaskAdaptiveMixer(kernel):
            return TaskAdaptiveMixer(dim, kernel, policy)
        case cfg.GlobalContext(regions):
            return GlobalContext(shape, regions, policy)
        case cfg.SemanticProjector(ratio):
            return SemanticProjector(dim, max(1, round(ratio * dim)), policy)
        case cfg.NoContext():
            return NoMapping()
