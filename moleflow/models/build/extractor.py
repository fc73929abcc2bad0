"""E: the frozen backbone."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.config.run import RunConfig
from moleflow.extractors.base import Extractor


def build_extractor(config: AblationConfig, run: RunConfig) -> Extractor:
    """E1 or E2 with its weights.

    Raises:
        UsageError: no weights can be found, or they are of another architecture.
    """
    from moleflow.extractors.cnn_extractor import CnnExtractor  # timm takes seconds: those wait who need a backbone
    from moleflow.extractors.vit_extractor import VitExtractor
    from moleflow.extractors.weights import resolve_weights

    wanted = run.features
    weights = resolve_weights(wanted.backbone_name, wanted.backbone_weights, wanted.random_backbone, run.training.seed)
    size, grid = run.data.img_size, wanted.feature_grid
    match config.extractor:
        case cfg.Cnn(layers, frame, shares):
            return CnnExtractor(wanted.backbone_name, layers, wanted.embed_dim, size, grid, weights, frame, shares)
        case cfg.Vit(blocks, combine):
            return VitExtractor(wanted.backbone_name, blocks, combine, wanted.embed_dim, size, grid, weights)
