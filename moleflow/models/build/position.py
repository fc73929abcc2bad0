"""P: position."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import Shape, shared_policy
from moleflow.models.build.sharing import is_shared, shared_or_own
from moleflow.models.position.content import ContentPosition, HybridPosition
from moleflow.models.position.relative import RelativeAttention
from moleflow.models.position.sincos import SinCosGrid
from moleflow.models.position.tape import TapeGrid
from moleflow.models.stages import Mapping, NoMapping


def build_position(config: AblationConfig, shape: Shape) -> Mapping:
    """P1, P2, P3, P4, or nothing (P6 acts in the subnets); what learns is shared or (F7) each task's own."""
    match config.position:
        case cfg.SinCosPosition():
            return SinCosGrid(shape)
        case cfg.RelativePosition(max_distance):
            return shared_or_own(config, lambda: RelativeAttention(shape, max_distance, shared_policy(config)))
        case cfg.TapePosition(init_value, lr_multiplier):
            return TapeGrid(shape, init_value, lr_multiplier)
        case cfg.ContentPosition(prototypes):
            return shared_or_own(config, lambda: ContentPosition(shape, prototypes, is_shared(config)))
        case cfg.HybridPosition(prototypes):
            return shared_or_own(config, lambda: HybridPosition(shape, prototypes, is_shared(config)))
        case cfg.ConditionalPosition() | cfg.NoPosition():
            return NoMapping()
