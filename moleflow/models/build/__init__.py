"""From configuration to modules: the only file that knows both (for loss terms: losses/build.py)."""

from collections.abc import Callable
from functools import partial

import torch

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.config.run import RunConfig
from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.vit_extractor import VitExtractor
from moleflow.extractors.weights import resolve_weights
from moleflow.models.adapters.whitening import WhiteningAdapter
from moleflow.models.context.spatial_mixer import SpatialMixer
from moleflow.models.coupling import CouplingFlow, SubnetFactory, every_task, first_task_only
from moleflow.models.dia.coupling_dia import CouplingDia
from moleflow.models.lora import LoRALinear, SharedLinear
from moleflow.models.mole_nf import MoLEFlow, Parts
from moleflow.models.position.sincos import SinCosGrid
from moleflow.models.routing.base import Router
from moleflow.models.routing.euclidean import NearestPrototype
from moleflow.models.routing.mahalanobis import PerTaskMahalanobis, TiedMahalanobis
from moleflow.models.routing.oracle import Oracle
from moleflow.models.scoring import aggregation
from moleflow.models.scoring.smoothing import PixelMap
from moleflow.models.stages import Mapping, NoMapping, NoStage, Stage
from moleflow.models.subnets.plain import LinearFactory, PlainSubnet
from moleflow.models.subnets.position_conditioned import PositionConditioned
from moleflow.models.subnets.scale_context import ScaleContextSubnet
from moleflow.utils.seed import derive_seed

Shape = tuple[int, int, int]


def build_model(config: AblationConfig, extractor: Extractor, seed: int) -> MoLEFlow:
    """The model of a configuration on a backbone; it has no task yet. Shared weights start from the seed alone."""
    shape = (*extractor.grid, extractor.dim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "base"))
        return MoLEFlow(
            Parts(
                extractor,
                build_position(config.position, shape),
                build_adapter(config.adapter, shape),
                build_context(config.context, shape),
                build_flow(config, shape),
                build_dia(config.dia, shape, config.flow.clamp),
                build_router(config.router, extractor.dim),
                build_aggregation(config.aggregation),
                build_pixel_map(config.smoothing, extractor.img_size),
            )
        )


def build_extractor(config: AblationConfig, run: RunConfig) -> Extractor:
    """E1 or E2 with its weights.

    Raises:
        UsageError: no weights can be found, or they are of another architecture.
    """
    wanted = run.features
    weights = resolve_weights(wanted.backbone_name, wanted.backbone_weights, wanted.random_backbone, run.training.seed)
    size, grid = run.data.img_size, wanted.feature_grid
    match config.extractor:
        case cfg.Cnn(layers):
            return CnnExtractor(wanted.backbone_name, layers, wanted.embed_dim, size, grid, weights)
        case cfg.Vit(blocks, combine):
            return VitExtractor(wanted.backbone_name, blocks, combine, wanted.embed_dim, size, grid, weights)


Position = cfg.SinCosPosition | cfg.ConditionalPosition | cfg.NoPosition


def build_position(config: Position, shape: Shape) -> Mapping:
    """P1, or nothing (P6 acts in the subnets)."""
    match config:
        case cfg.SinCosPosition():
            return SinCosGrid(shape)
        case cfg.ConditionalPosition() | cfg.NoPosition():
            return NoMapping()


def tell_position(config: Position, subnet: SubnetFactory, shape: Shape) -> SubnetFactory:
    """P6 around a subnet, or the subnet as it is."""
    match config:
        case cfg.ConditionalPosition(channels):
            return partial(PositionConditioned, subnet=subnet, grid=shape[:2], channels=channels)
        case cfg.SinCosPosition() | cfg.NoPosition():
            return subnet


def build_adapter(config: cfg.WhiteningAdapter | cfg.NoAdapter, shape: Shape) -> Stage:
    """A1 or nothing."""
    match config:
        case cfg.WhiteningAdapter(logdet, identity_pull):
            return WhiteningAdapter(shape[-1], logdet, identity_pull)
        case cfg.NoAdapter():
            return NoStage()


def build_context(config: cfg.SpatialMixer | cfg.NoContext, shape: Shape) -> Mapping:
    """X1 or nothing."""
    match config:
        case cfg.SpatialMixer(kernel, freeze):
            return SpatialMixer(shape[-1], kernel, first_task_only if freeze else every_task)
        case cfg.NoContext():
            return NoMapping()


def build_flow(config: AblationConfig, shape: Shape) -> CouplingFlow:
    """F1 with its subnets and their linears."""
    policies: dict[str, Callable[[Task], bool]] = {"first": first_task_only, "always": every_task}
    flow = config.flow
    subnet = build_subnet(config.subnet, shape[-1], build_linear(config.lora))
    told = tell_position(config.position, subnet, shape)
    return CouplingFlow(shape, flow.layers, told, flow.clamp, policies[flow.base_policy])


def build_subnet(config: cfg.PlainSubnet | cfg.ScaleContextSubnet, dim: int, linear: LinearFactory) -> SubnetFactory:
    """F2 or F3: (passive, active) -> subnet."""
    hidden = max(1, round(config.hidden_ratio * dim))
    match config:
        case cfg.PlainSubnet():
            return partial(PlainSubnet, hidden=hidden, linear=linear)
        case cfg.ScaleContextSubnet(_, kernel, init_scale, max_alpha):
            return partial(
                ScaleContextSubnet,
                hidden=hidden,
                linear=linear,
                kernel=kernel,
                init_scale=init_scale,
                max_alpha=max_alpha,
            )


def build_linear(config: cfg.Lora | cfg.NoLora) -> LinearFactory:
    """F5 or shared linears: (in, out) -> layer."""
    match config:
        case cfg.Lora(rank, alpha, scaling, in_task0, task_bias):
            scale = alpha / (rank if scaling == "alpha_over_r" else 2 * rank)
            return partial(LoRALinear, rank=rank, scale=scale, bias=task_bias, in_first=in_task0)
        case cfg.NoLora():
            return SharedLinear


def build_dia(config: cfg.Dia | cfg.NoDia, shape: Shape, clamp: float) -> Stage:
    """D1 or nothing."""
    match config:
        case cfg.Dia(blocks, hidden_ratio):
            return CouplingDia(shape, blocks, hidden_ratio, clamp)
        case cfg.NoDia():
            return NoStage()


def build_router(
    config: cfg.TiedRouter | cfg.PerTaskRouter | cfg.EuclideanRouter | cfg.OracleRouter, dim: int
) -> Router:
    """R1, R2, R3 or R5."""
    kinds: dict[type, type[Router]] = {
        cfg.TiedRouter: TiedMahalanobis,
        cfg.PerTaskRouter: PerTaskMahalanobis,
        cfg.EuclideanRouter: NearestPrototype,
        cfg.OracleRouter: Oracle,
    }
    return kinds[type(config)](dim)


def build_aggregation(
    config: cfg.TopK | cfg.TopKPercent | cfg.Percentile | cfg.Max | cfg.Mean,
) -> aggregation.Aggregation:
    """S2."""
    match config:
        case cfg.TopK(k):
            return aggregation.TopK(k)
        case cfg.TopKPercent(percent):
            return aggregation.TopKPercent(percent)
        case cfg.Percentile(quantile):
            return aggregation.Percentile(quantile)
        case cfg.Max():
            return aggregation.Max()
        case cfg.Mean():
            return aggregation.Mean()


def build_pixel_map(config: cfg.GaussianSmoothing | cfg.MultiSmoothing | cfg.NoSmoothing, size: int) -> PixelMap:
    """S5."""
    match config:
        case cfg.GaussianSmoothing(sigma):
            return PixelMap(size, {sigma: 1.0})
        case cfg.MultiSmoothing():
            return PixelMap(size, {2.0: 0.6, 4.0: 0.4})
        case cfg.NoSmoothing():
            return PixelMap(size, {})
