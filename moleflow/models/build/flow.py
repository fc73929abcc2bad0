"""F, P6: the flow, its subnets and their linears."""

from functools import partial

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import Shape, shared_policy, slow_blocks
from moleflow.models.coupling import CouplingFlow, SubnetFactory, every_task
from moleflow.models.full_delta import FullDeltaLinear
from moleflow.models.lora import LoRALinear, SharedLinear
from moleflow.models.separated import SeparatedStage
from moleflow.models.spatial_lora import SpatialLoRALinear
from moleflow.models.spectral import spectrally_bounded
from moleflow.models.stages import InvertibleStage
from moleflow.models.subnets.cpcf import CpcfSubnet
from moleflow.models.subnets.gated_context import GatedContextSubnet
from moleflow.models.subnets.plain import LinearFactory, PlainSubnet
from moleflow.models.subnets.position_conditioned import PositionConditioned
from moleflow.models.subnets.scale_context import ScaleContextSubnet

SubnetConfig = cfg.PlainSubnet | cfg.ScaleContextSubnet | cfg.GatedContextSubnet | cfg.CpcfSubnet
LinearConfig = cfg.Lora | cfg.SpatialLora | cfg.FullDelta | cfg.NoLora


def build_flow(config: AblationConfig, shape: Shape) -> InvertibleStage:
    """F1 with its subnets and their linears, shared by all tasks or (F7) each task's own."""
    make = partial(coupling_flow, config, shape)
    match config.sharing:
        case cfg.Separated():
            return SeparatedStage(make)
        case cfg.Shared():
            return make()


def coupling_flow(config: AblationConfig, shape: Shape) -> CouplingFlow:
    """F1 with its subnets and their linears."""
    flow = config.flow
    linear = build_linear(config.lora)
    if flow.spectral_norm:
        linear = partial(spectrally_bounded, linear=linear)
    subnet = build_subnet(config.subnet, shape[-1], linear)
    told = tell_position(config.position, subnet, shape)
    return CouplingFlow(shape, flow.layers, told, flow.clamp, shared_policy(config), slow_blocks(config))


def tell_position(config: object, subnet: SubnetFactory, shape: Shape) -> SubnetFactory:
    """P6 around a subnet, or the subnet as it is."""
    match config:
        case cfg.ConditionalPosition(channels):
            return partial(PositionConditioned, subnet=subnet, grid=shape[:2], channels=channels)
        case _:
            return subnet


def build_subnet(config: SubnetConfig, dim: int, linear: LinearFactory) -> SubnetFactory:
    """F2, F3, F4 or F11: (passive, active) -> subnet."""
    hidden = max(1, round(config.hidden_ratio * dim))
    match config:
        case cfg.PlainSubnet():
            return partial(PlainSubnet, hidden=hidden, linear=linear)
        case cfg.ScaleContextSubnet(_, kernel, init, top, freeze):
            return partial(
                ScaleContextSubnet,
                hidden=hidden,
                linear=linear,
                kernel=kernel,
                init_scale=init,
                max_alpha=top,
                context_trains_in=None if freeze else every_task,
            )
        case cfg.GatedContextSubnet(_, kernel, gate, top):
            return partial(
                GatedContextSubnet, hidden=hidden, linear=linear, kernel=kernel, gate_hidden=gate, max_alpha=top
            )
        case cfg.CpcfSubnet(_, kernel, mode, attention):
            around = "attention" if attention else mode
            return partial(CpcfSubnet, hidden=hidden, linear=linear, kernel=kernel, around=around)


def build_linear(config: LinearConfig) -> LinearFactory:
    """F5, F6, F10 or shared linears: (in, out) -> layer."""
    match config:
        case cfg.Lora(rank, alpha, scaling, first, bias):
            scale = delta_scale(rank, alpha, scaling)
            return partial(LoRALinear, rank=rank, scale=scale, bias=bias, in_first=first)
        case cfg.SpatialLora(rank, alpha, scaling, first, bias, nodes):
            scale = delta_scale(rank, alpha, scaling)
            return partial(SpatialLoRALinear, rank=rank, scale=scale, bias=bias, in_first=first, nodes=nodes)
        case cfg.FullDelta(first, bias):
            return partial(FullDeltaLinear, bias=bias, in_first=first)
        case cfg.NoLora():
            return SharedLinear


def delta_scale(rank: int, alpha: float, scaling: str) -> float:
    """α/r, or α/2r as the history's first version had it."""
    return alpha / (rank if scaling == "alpha_over_r" else 2 * rank)
