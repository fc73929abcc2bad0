"""From configuration to the protector of shared weights that keep learning."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.trainer.regularizers.base import Protector
from moleflow.trainer.regularizers.distillation import LatentDistillation
from moleflow.trainer.regularizers.ewc import ElasticConsolidation
from moleflow.trainer.regularizers.ogp import OrthogonalProjection
from moleflow.trainer.regularizers.replay import FeatureReplay


def build_protector(config: AblationConfig, seed: int) -> Protector:
    """O1, O2, O3, O4 or one that protects nothing."""
    match config.protector:
        case cfg.Ogp(threshold, max_rank, samples):
            return OrthogonalProjection(threshold, max_rank, samples, seed)
        case cfg.Ewc(strength):
            return ElasticConsolidation(strength, seed)
        case cfg.Replay(per_task, weight):
            return FeatureReplay(per_task, weight, seed)
        case cfg.Distillation(weight):
            return LatentDistillation(weight, seed)
        case cfg.NoProtector():
            return Protector()
