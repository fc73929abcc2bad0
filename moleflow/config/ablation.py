"""What the method is: one field per slot of the data path, each holding one of a few small variants.

A variant's class says what it computes and its fields are its options, so an option of a variant that was not chosen
cannot exist. ``AblationConfig()`` is the full method. Formulas and sources: documents/method.md.
"""

from dataclasses import dataclass

from moleflow.config.knobs import knob, slot


@dataclass(frozen=True)
class Cnn:
    """E1: stages of a frozen CNN, 3×3 pooled, on one grid, concatenated, pooled to ``embed_dim`` channels."""

    layers: tuple[str, ...] = knob(("layer2", "layer3"), "Backbone stages to use (layer1 = stride 4).", "cnn_layers")


@dataclass(frozen=True)
class Vit:
    """E2: patch tokens of several blocks of a frozen vision transformer."""

    blocks: tuple[int, ...] = knob((8, 9, 10, 11), "Transformer blocks whose patch tokens are used.", "vit_blocks")
    combine: str = knob("mean", "How the blocks are joined.", "vit_combine", choices=("mean", "concat"))


@dataclass(frozen=True)
class SinCosPosition:
    """P1: a fixed 2-D sine-cosine grid is added to the features."""


@dataclass(frozen=True)
class ConditionalPosition:
    """P6: features stay as they are; the flow's subnets are told where their patch is."""

    channels: int = knob(32, "Length of the position code, a multiple of 4.", "position_channels", low=4)


@dataclass(frozen=True)
class NoPosition:
    """No position is added."""


@dataclass(frozen=True)
class WhiteningAdapter:
    """A1: layer norm, then a bounded per-channel scale and shift of the task's own."""

    logdet: bool = knob(True, "Count the scale in the log-determinant.", "adapter_logdet")
    identity_pull: float = knob(
        0.1, "Weight that pulls the first task's scale to 1 and shift to 0.", "adapter_identity_pull", low=0
    )


@dataclass(frozen=True)
class NoAdapter:
    """A5: features enter the flow as they are."""


@dataclass(frozen=True)
class SpatialMixer:
    """X1: depthwise k×k and pointwise convolution behind a residual gate, shared."""

    kernel: int = knob(3, "Kernel of the spatial mixer, odd.", "spatial_context_kernel", low=1)
    freeze: bool = knob(
        True, "Freeze the mixer after the first task (else it learns in every task).", "freeze_spatial_mixer"
    )


@dataclass(frozen=True)
class NoContext:
    """Patches enter the flow without their neighbours."""


@dataclass(frozen=True)
class Flow:
    """F1: clamped affine coupling blocks on patch vectors, shared by all tasks."""

    layers: int = knob(8, "Coupling blocks.", "num_coupling_layers", low=1)
    clamp: float = knob(1.9, "Bound c of the log-scale s ← c·tanh(s/c).", "coupling_clamp", low=0.01)
    base_policy: str = knob(
        "first", "When the shared flow learns: in the first task only, or in every task.", choices=("first", "always")
    )


@dataclass(frozen=True)
class ScaleContextSubnet:
    """F3: the log-scale also sees α times the passive half's neighbourhood."""

    hidden_ratio: float = knob(1.0, "Hidden width of a subnet as a share of D.", "subnet_hidden_ratio", low=0.01)
    kernel: int = knob(5, "Neighbourhood of the scale's context, odd.", "scale_context_kernel", low=1)
    init_scale: float = knob(0.1, "First value of α.", "scale_context_init_scale", low=0)
    max_alpha: float = knob(0.2, "Upper bound of α.", "scale_context_max_alpha", low=1e-6)


@dataclass(frozen=True)
class PlainSubnet:
    """F2: log-scale and shift from the same patch's passive half alone."""

    hidden_ratio: float = knob(1.0, "Hidden width of a subnet as a share of D.", "subnet_hidden_ratio", low=0.01)


@dataclass(frozen=True)
class Lora:
    """F5: every subnet linear gets a low-rank delta (scale·B·A) per task."""

    rank: int = knob(64, "Rank of the task's deltas.", "lora_rank", low=1)
    alpha: float = knob(1.0, "α of the delta's scale.", "lora_alpha", low=0)
    scaling: str = knob(
        "alpha_over_r", "The delta's scale: α/r or α/2r.", "lora_scaling", choices=("alpha_over_r", "alpha_over_2r")
    )
    in_task0: bool = knob(True, "The first task has deltas too.", "lora_in_task0")
    task_bias: bool = knob(True, "A bias of the task's own beside the delta.", "task_bias")


@dataclass(frozen=True)
class NoLora:
    """Subnets are the same for every task."""


@dataclass(frozen=True)
class Dia:
    """D1: coupling blocks of the task's own after the flow, starting as the identity."""

    blocks: int = knob(4, "Coupling blocks of the invertible adapter.", "dia_n_blocks", low=1)
    hidden_ratio: float = knob(0.5, "Hidden width of its nets as a share of D.", "dia_hidden_ratio", low=0.01)


@dataclass(frozen=True)
class NoDia:
    """The flow's output is the latent."""


@dataclass(frozen=True)
class TailAwareLoss:
    """L2: the mean NLL blended with the mean over each image's worst patches."""

    weight: float = knob(0.7, "Weight w of the tail.", "tail_weight", low=0, high=1)
    top_ratio: float = knob(0.02, "Share of an image's patches that is its tail.", "tail_top_k_ratio", low=0, high=1)


@dataclass(frozen=True)
class MeanLoss:
    """L1: mean NLL over patches."""


@dataclass(frozen=True)
class LogDetPenalty:
    """L3: λ·mean(log-det²)."""

    weight: float = knob(1e-4, "λ of the log-det penalty.", "lambda_logdet", low=0)


@dataclass(frozen=True)
class NoLogDetPenalty:
    """The log-det is free."""


@dataclass(frozen=True)
class TopK:
    """Mean of the k highest patch scores."""

    k: int = knob(3, "Patches that decide an image.", "score_aggregation_top_k", low=1)


@dataclass(frozen=True)
class TopKPercent:
    """Mean of the highest share of patch scores."""

    percent: float = knob(
        5.0, "Percent of patches that decide an image.", "score_aggregation_top_k_percent", low=0, high=100
    )


@dataclass(frozen=True)
class Percentile:
    """A quantile of the patch scores."""

    quantile: float = knob(0.99, "Quantile of an image's patch scores.", "score_aggregation_percentile", low=0, high=1)


@dataclass(frozen=True)
class Max:
    """The highest patch score."""


@dataclass(frozen=True)
class Mean:
    """The mean patch score."""


@dataclass(frozen=True)
class GaussianSmoothing:
    """S5: pixel maps are bilinear enlargements smoothed by one Gaussian."""

    sigma: float = knob(4.0, "Gaussian σ of the pixel map, in pixels of the input size.", "smoothing_sigma", low=0.01)


@dataclass(frozen=True)
class MultiSmoothing:
    """S5, mixed: 0.6 of σ = 2 and 0.4 of σ = 4."""


@dataclass(frozen=True)
class NoSmoothing:
    """Pixel maps are bilinear enlargements."""


@dataclass(frozen=True)
class TiedRouter:
    """R5: Mahalanobis distance under one Ledoit–Wolf covariance pooled over tasks."""


@dataclass(frozen=True)
class PerTaskRouter:
    """R1: Mahalanobis distance under each task's own Ledoit–Wolf covariance."""


@dataclass(frozen=True)
class EuclideanRouter:
    """R2: nearest prototype."""


@dataclass(frozen=True)
class OracleRouter:
    """R3: the true task is given."""


POSITIONS = {"grid": SinCosPosition, "condition": ConditionalPosition, "none": NoPosition}
ADAPTERS = {"whitening": WhiteningAdapter, "none": NoAdapter}
AGGREGATIONS = {"top_k": TopK, "top_k_percent": TopKPercent, "percentile": Percentile, "max": Max, "mean": Mean}
ROUTERS = {"tied": TiedRouter, "per_task": PerTaskRouter, "euclidean": EuclideanRouter, "oracle": OracleRouter}
SMOOTHINGS = {"gaussian": GaussianSmoothing, "multi": MultiSmoothing, "none": NoSmoothing}


@dataclass(frozen=True)
class AblationConfig:
    """The whole method, slot by slot in the order data passes them; the default is MoLE-Flow as published."""

    extractor: Cnn | Vit = slot(
        Cnn(), "How an image becomes features", mode=("backbone_type", {"cnn": Cnn, "vit": Vit})
    )
    position: SinCosPosition | ConditionalPosition | NoPosition = slot(
        SinCosPosition(),
        "Position",
        {"use_pos_embed": SinCosPosition, "no_pos_embed": NoPosition},
        ("position", POSITIONS),
    )
    adapter: WhiteningAdapter | NoAdapter = slot(
        WhiteningAdapter(),
        "Task adapter before the flow",
        {"use_whitening_adapter": WhiteningAdapter, "no_whitening_adapter": NoAdapter},
        ("adapter_mode", ADAPTERS),
    )
    context: SpatialMixer | NoContext = slot(
        SpatialMixer(),
        "Context before the flow",
        {"use_spatial_context": SpatialMixer, "no_spatial_context": NoContext},
    )
    flow: Flow = slot(Flow(), "Shared flow")
    subnet: ScaleContextSubnet | PlainSubnet = slot(
        ScaleContextSubnet(),
        "Subnets of the flow",
        {"use_scale_context": ScaleContextSubnet, "no_scale_context": PlainSubnet},
    )
    lora: Lora | NoLora = slot(Lora(), "Task deltas in the subnets", {"use_lora": Lora, "no_lora": NoLora})
    dia: Dia | NoDia = slot(Dia(), "Task adapter after the flow", {"use_dia": Dia, "no_dia": NoDia})
    loss: TailAwareLoss | MeanLoss = slot(
        TailAwareLoss(), "Likelihood loss", {"use_tail_aware_loss": TailAwareLoss, "no_tail_aware_loss": MeanLoss}
    )
    logdet_penalty: LogDetPenalty | NoLogDetPenalty = slot(
        LogDetPenalty(), "Log-det penalty", {"use_logdet_reg": LogDetPenalty, "no_logdet_reg": NoLogDetPenalty}
    )
    aggregation: TopK | TopKPercent | Percentile | Max | Mean = slot(
        TopK(), "Image score from patch scores", mode=("score_aggregation_mode", AGGREGATIONS)
    )
    smoothing: GaussianSmoothing | MultiSmoothing | NoSmoothing = slot(
        GaussianSmoothing(), "Pixel map", mode=("smoothing", SMOOTHINGS)
    )
    router: TiedRouter | PerTaskRouter | EuclideanRouter | OracleRouter = slot(
        TiedRouter(), "Router", {"no_router": OracleRouter}, ("router", ROUTERS)
    )
