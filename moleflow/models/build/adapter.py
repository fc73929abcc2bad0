"""A and D: the task's adapters before and after the flow."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.adapters.film import FilmAdapter
from moleflow.models.adapters.instance_norm import InstanceNormAdapter
from moleflow.models.adapters.whitening import WhiteningAdapter, WhiteningNoNorm
from moleflow.models.adapters.zca import ZcaAdapter
from moleflow.models.build.policy import Shape
from moleflow.models.dia.auto_dia import AutoDia
from moleflow.models.dia.coupling_dia import CouplingDia
from moleflow.models.stages import NoStage, Stage


def build_adapter(config: AblationConfig, shape: Shape) -> Stage:
    """A1 to A4, A6, or nothing."""
    dim = shape[-1]
    match config.adapter:
        case cfg.WhiteningAdapter(logdet, identity_pull):
            return WhiteningAdapter(dim, logdet, identity_pull)
        case cfg.WhiteningNoNorm(logdet, identity_pull):
            return WhiteningNoNorm(dim, logdet, identity_pull)
        case cfg.FilmAdapter(norm):
            return FilmAdapter(dim, norm)
        case cfg.InstanceNormAdapter():
            return InstanceNormAdapter(dim)
        case cfg.ZcaAdapter(shrinkage):
            return ZcaAdapter(dim, shrinkage)
        case cfg.NoAdapter():
            return NoStage()


def build_dia(config: AblationConfig, shape: Shape) -> Stage:
    """D1, with a given number of blocks or one chosen for each task, or nothing."""
    match config.dia:
        case cfg.Dia(int(blocks), hidden_ratio):
            return CouplingDia(shape, blocks, hidden_ratio, config.flow.clamp)
        case cfg.Dia(_, hidden_ratio):
            return AutoDia(shape, hidden_ratio, config.flow.clamp)
        case cfg.NoDia():
            return NoStage()
