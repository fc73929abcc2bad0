"""What the method is: one field per slot of the data path, each holding one of a few small variants.

A variant's class says what it computes and its fields are its options, so an option of a variant that was not chosen
cannot exist. ``AblationConfig()`` is the full method. Formulas and sources: documents/method.md.
"""

from dataclasses import dataclass

from moleflow.config import variants as v
from moleflow.config.knobs import slot

POSITIONS = {
    "grid": v.SinCosPosition, "relative": v.RelativePosition, "tape": v.TapePosition, "content": v.ContentPosition,
    "hybrid": v.HybridPosition, "condition": v.ConditionalPosition, "none": v.NoPosition,
}  # fmt: skip
ADAPTERS = {
    "whitening": v.WhiteningAdapter, "whitening_no_ln": v.WhiteningNoNorm, "film": v.FilmAdapter,
    "instance_norm": v.InstanceNormAdapter, "zca": v.ZcaAdapter, "none": v.NoAdapter,
}  # fmt: skip
CONTEXTS = {
    "use_spatial_context": v.SpatialMixer, "use_ms_context": v.MultiScaleContext,
    "use_task_conditioned_ms_context": v.TaskMultiScaleContext, "use_patch_attention": v.PatchAttention,
    "use_task_adaptive_context": v.TaskAdaptiveMixer, "use_global_context": v.GlobalContext,
    "use_semantic_projector": v.SemanticProjector, "no_spatial_context": v.NoContext,
}  # fmt: skip
SUBNETS = {
    "use_scale_context": v.ScaleContextSubnet, "use_context_gate": v.GatedContextSubnet, "use_cpcf": v.CpcfSubnet,
    "no_scale_context": v.PlainSubnet,
}  # fmt: skip
DELTAS = {
    "use_lora": v.Lora, "use_spatial_lora": v.SpatialLora, "use_regular_linear": v.FullDelta, "no_lora": v.NoLora,
}  # fmt: skip
PROTECTORS = {
    "use_ogp": v.Ogp, "use_ewc": v.Ewc, "use_replay": v.Replay, "use_distillation": v.Distillation,
    "no_ogp": v.NoProtector,
}  # fmt: skip
AGGREGATIONS = {
    "top_k": v.TopK, "top_k_percent": v.TopKPercent, "percentile": v.Percentile, "max": v.Max, "mean": v.Mean,
    "spatial_cluster": v.SpatialCluster, "adaptive": v.Adaptive,
}  # fmt: skip
SCORERS = {"nll": v.NllScore, "multi_orientation": v.MultiOrientation, "dual_branch": v.DualBranch}
CONSISTENCIES = {"use_local_consistency": v.LocalConsistency, "use_multiscale_consistency": v.MultiscaleConsistency,
                 "no_local_consistency": v.NoConsistency}  # fmt: skip
SMOOTHINGS = {"gaussian": v.GaussianSmoothing, "multi": v.MultiSmoothing, "none": v.NoSmoothing}
CALIBRATIONS = {"none": v.RawScores, "zscore": v.ZScore, "excess": v.Excess, "pvalue": v.PValue}
MAP_SOURCES = {"all": v.MapOfAll, "finest": v.MapOfFinest}
LIMITS = {"quantile": v.QuantileLimit, "pareto": v.TailLimit}
ROUTERS = {
    "tied": v.TiedRouter, "per_task": v.PerTaskRouter, "euclidean": v.EuclideanRouter, "hybrid": v.HybridRouter,
    "oracle": v.OracleRouter,
}  # fmt: skip


@dataclass(frozen=True)
class AblationConfig:
    """The whole method, slot by slot in the order data passes them; the default is MoLE-Flow as published."""

    image: v.AsIs | v.RandomRotation | v.SpatialTransformer = slot(
        v.AsIs(),
        "What happens to an image before the backbone",
        {"use_rotation_aug": v.RandomRotation, "use_stn": v.SpatialTransformer, "no_rotation_aug": v.AsIs},
    )
    extractor: v.Cnn | v.Vit = slot(
        v.Cnn(), "How an image becomes features", mode=("backbone_type", {"cnn": v.Cnn, "vit": v.Vit})
    )
    position: (
        v.SinCosPosition
        | v.RelativePosition
        | v.TapePosition
        | v.ContentPosition
        | v.HybridPosition
        | v.ConditionalPosition
        | v.NoPosition
    ) = slot(
        v.SinCosPosition(),
        "Position",
        {
            "use_pos_embed": v.SinCosPosition,
            "use_relative_position": v.RelativePosition,
            "use_tape": v.TapePosition,
            "no_pos_embed": v.NoPosition,
        },
        ("position", POSITIONS),
    )
    adapter: (
        v.WhiteningAdapter | v.WhiteningNoNorm | v.FilmAdapter | v.InstanceNormAdapter | v.ZcaAdapter | v.NoAdapter
    ) = slot(
        v.WhiteningAdapter(),
        "Task adapter before the flow",
        {"use_whitening_adapter": v.WhiteningAdapter, "no_whitening_adapter": v.NoAdapter},
        ("adapter_mode", ADAPTERS),
    )
    context: (
        v.SpatialMixer
        | v.MultiScaleContext
        | v.TaskMultiScaleContext
        | v.PatchAttention
        | v.TaskAdaptiveMixer
        | v.GlobalContext
        | v.SemanticProjector
        | v.NoContext
    ) = slot(v.SpatialMixer(), "Context before the flow", CONTEXTS)
    flow: v.Flow = slot(v.Flow(), "Shared flow")
    sharing: v.Shared | v.Separated = slot(
        v.Shared(), "Who owns context and flow", {"use_task_separated": v.Separated, "no_task_separated": v.Shared}
    )
    subnet: v.ScaleContextSubnet | v.GatedContextSubnet | v.CpcfSubnet | v.PlainSubnet = slot(
        v.ScaleContextSubnet(), "Subnets of the flow", SUBNETS
    )
    lora: v.Lora | v.SpatialLora | v.FullDelta | v.NoLora = slot(v.Lora(), "Task deltas in the subnets", DELTAS)
    dia: v.Dia | v.NoDia = slot(v.Dia(), "Task adapter after the flow", {"use_dia": v.Dia, "no_dia": v.NoDia})
    loss: v.TailAwareLoss | v.FocalLoss | v.MeanLoss = slot(
        v.TailAwareLoss(),
        "Likelihood loss",
        {
            "use_tail_aware_loss": v.TailAwareLoss,
            "use_focal_loss": v.FocalLoss,
            "no_tail_aware_loss": v.MeanLoss,
        },
    )
    logdet_penalty: v.LogDetPenalty | v.NoLogDetPenalty = slot(
        v.LogDetPenalty(), "Log-det penalty", {"use_logdet_reg": v.LogDetPenalty, "no_logdet_reg": v.NoLogDetPenalty}
    )
    center: v.CenterLoss | v.NoCenterLoss = slot(
        v.NoCenterLoss(), "Centre loss", {"use_center_loss": v.CenterLoss, "no_center_loss": v.NoCenterLoss}
    )
    dsm: v.Dsm | v.NoDsm = slot(v.NoDsm(), "Denoising score matching", {"use_dsm": v.Dsm, "no_dsm": v.NoDsm})
    pseudo: v.PseudoMargin | v.NoPseudoMargin = slot(
        v.NoPseudoMargin(),
        "Margin on pseudo-anomalies",
        {"use_pseudo_margin": v.PseudoMargin, "no_pseudo_margin": v.NoPseudoMargin},
    )
    protector: v.Ogp | v.Ewc | v.Replay | v.Distillation | v.NoProtector = slot(
        v.NoProtector(), "Protector of shared weights that keep learning", PROTECTORS
    )
    slow: v.FastOnly | v.SlowStage = slot(
        v.FastOnly(), "Slow stage after a task", {"use_slow_stage": v.SlowStage, "no_slow_stage": v.FastOnly}
    )
    scorer: v.NllScore | v.MultiOrientation | v.DualBranch = slot(
        v.NllScore(),
        "Patch score",
        {"use_multi_orientation": v.MultiOrientation, "use_dual_branch": v.DualBranch},
        ("patch_score", SCORERS),
    )
    place_gaussian: v.PlaceGaussian | v.NoPlaceGaussian = slot(
        v.NoPlaceGaussian(),
        "Second view: a Gaussian for each place",
        {"use_place_gaussian": v.PlaceGaussian, "no_place_gaussian": v.NoPlaceGaussian},
    )
    patch_memory: v.PatchMemory | v.NoPatchMemory = slot(
        v.NoPatchMemory(),
        "Second view: distance to kept patches",
        {"use_patch_memory": v.PatchMemory, "no_patch_memory": v.NoPatchMemory},
    )
    map_source: v.MapOfAll | v.MapOfFinest = slot(
        v.MapOfAll(), "Which opinions draw the map", mode=("map_source", MAP_SOURCES)
    )
    border: v.BorderRamp | v.GroundWeight | v.NoBorderRamp = slot(
        v.NoBorderRamp(),
        "Weight of patches by where they lie",
        {
            "use_border_ramp": v.BorderRamp,
            "use_ground_weight": v.GroundWeight,
            "no_border_ramp": v.NoBorderRamp,
            "no_ground_weight": v.NoBorderRamp,
        },
    )
    consistency: v.NoConsistency | v.LocalConsistency | v.MultiscaleConsistency = slot(
        v.NoConsistency(), "Agreement of neighbouring patch scores", CONSISTENCIES
    )
    aggregation: v.TopK | v.TopKPercent | v.Percentile | v.Max | v.Mean | v.SpatialCluster | v.Adaptive = slot(
        v.TopK(), "Image score from patch scores", mode=("score_aggregation_mode", AGGREGATIONS)
    )
    smoothing: v.GaussianSmoothing | v.MultiSmoothing | v.NoSmoothing = slot(
        v.GaussianSmoothing(), "Pixel map", mode=("smoothing", SMOOTHINGS)
    )
    calibration: v.RawScores | v.ZScore | v.Excess | v.PValue = slot(
        v.RawScores(), "Scale of image scores", mode=("score_calibration", CALIBRATIONS)
    )
    limit_rule: v.QuantileLimit | v.TailLimit = slot(
        v.QuantileLimit(), "Threshold from held-out normal scores", mode=("threshold_rule", LIMITS)
    )
    decision: v.ImageDecision | v.RegionDecision = slot(
        v.ImageDecision(),
        "What is anomalous",
        {"use_region_thresholds": v.RegionDecision, "no_region_thresholds": v.ImageDecision},
    )
    router: v.TiedRouter | v.PerTaskRouter | v.EuclideanRouter | v.HybridRouter | v.OracleRouter = slot(
        v.TiedRouter(),
        "Router",
        {"no_router": v.OracleRouter, "use_hybrid_router": v.HybridRouter},
        ("router", ROUTERS),
    )
    open_set: v.ClosedSet | v.Reject = slot(
        v.ClosedSet(), "Images of no known task", {"use_open_set": v.Reject, "no_open_set": v.ClosedSet}
    )
