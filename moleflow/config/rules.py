"""Which combinations of parts cannot act together, and what becomes of them: all such rules, in one place.

Combinations that people's old command lines contain are resolved with a warning; the others are refused. Every
message names both flags.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.run import RunConfig
from moleflow.utils.errors import UsageError

Config = tuple[AblationConfig, RunConfig]


@dataclass(frozen=True)
class Rule:
    """A combination that cannot act, and what becomes of it.

    Attributes:
        when: whether a configuration has the combination.
        message: one sentence that names both flags.
        then: the configuration without it; None refuses it.
    """

    when: Callable[[AblationConfig, RunConfig], bool]
    message: str
    then: Callable[[AblationConfig, RunConfig], Config] | None = None


def shared_parts_keep_learning(ablation: AblationConfig) -> bool:
    """Whether anything shared learns after the first task."""
    always = ablation.flow.base_policy == "always"
    if isinstance(ablation.sharing, v.Separated):
        return always and isinstance(ablation.image, v.SpatialTransformer)
    mixer_learns = isinstance(ablation.context, v.SpatialMixer) and not ablation.context.freeze
    around_learns = isinstance(ablation.subnet, v.ScaleContextSubnet) and not ablation.subnet.freeze
    slow = isinstance(ablation.slow, v.SlowStage) and ablation.slow.epochs > 0
    return always or mixer_learns or around_learns or slow


def _dsm(ablation: AblationConfig) -> bool:
    return isinstance(ablation.dsm, v.Dsm) and ablation.dsm.mode != "nll_only"


def _no_pseudo_anomalies(ablation: AblationConfig) -> bool:
    return not (isinstance(ablation.pseudo, v.PseudoMargin) and ablation.pseudo.weight > 0)


def _stays_at_its_start(flag: str, used: Callable[[AblationConfig], bool]) -> Rule:
    """Tell that a part whose weights learn on pseudo-anomalies alone has none to learn on; it acts all the same."""
    return Rule(
        lambda ablation, run: used(ablation) and _no_pseudo_anomalies(ablation),
        f"{flag} learns on pseudo-anomalies alone, and there are none without --pseudo_margin_weight: it stays at its "
        "initial values.",
        lambda ablation, run: (ablation, run),
    )


HANGS_ON_FEW = (v.TopK, v.Max, v.SpatialCluster)
"""Image scores that all but the highest patches leave as they are."""

RULES = (
    Rule(
        lambda ablation, run: (
            isinstance(ablation.context, v.MultiScaleContext) and isinstance(ablation.adapter, v.WhiteningAdapter)
        ),
        "--use_ms_context is unstable together with --use_whitening_adapter: the spatial mixer takes its place.",
        lambda ablation, run: (replace(ablation, context=v.SpatialMixer()), run),
    ),
    Rule(
        lambda ablation, run: (
            isinstance(ablation.slow, v.SlowStage)
            and (ablation.flow.base_policy == "always" or isinstance(ablation.sharing, v.Separated))
        ),
        "--slow_epochs moves a frozen shared flow, and --base_policy always or --use_task_separated leaves none: "
        "the slow stage is off.",
        lambda ablation, run: (replace(ablation, slow=v.FastOnly()), run),
    ),
    Rule(
        lambda ablation, run: isinstance(ablation.slow, v.SlowStage) and ablation.slow.epochs == 0,
        "--use_slow_stage does nothing with --slow_epochs 0: the slow stage is off.",
        lambda ablation, run: (replace(ablation, slow=v.FastOnly()), run),
    ),
    Rule(
        lambda ablation, run: isinstance(ablation.slow, v.SlowStage),
        "--slow_epochs moves the shared flow that --base_policy had frozen: scores of older tasks change, isolation is "
        "broken.",
        lambda ablation, run: (ablation, run),
    ),
    Rule(
        lambda ablation, run: (
            not isinstance(ablation.protector, v.NoProtector) and not shared_parts_keep_learning(ablation)
        ),
        "--use_ogp, --use_ewc, --use_replay and --use_distillation protect shared weights that keep learning, and "
        "with --base_policy first or pretrained or --use_task_separated none do: the protector is off.",
        lambda ablation, run: (replace(ablation, protector=v.NoProtector()), run),
    ),
    Rule(
        lambda ablation, run: _dsm(ablation) and isinstance(ablation.dia, v.Dia),
        "--use_dsm matches the score of the flow alone, so --use_dia cannot act with it: DIA is off.",
        lambda ablation, run: (replace(ablation, dia=v.NoDia()), run),
    ),
    Rule(
        lambda ablation, run: (
            run.features.cache_features and isinstance(ablation.image, v.RandomRotation) and ablation.image.views == 0
        ),
        "--use_rotation_aug with --cache_views 0 shows new views in every step, so --use_feature_cache is off.",
        lambda ablation, run: (ablation, _without_cache(run)),
    ),
    Rule(
        lambda ablation, run: isinstance(ablation.map_source, v.MapOfFinest) and not _has_finest(ablation),
        "--map_source finest has the map drawn by the memory on the features' own grid, and there is none: all "
        "opinions draw it (give --use_patch_memory with a --patch_memory_pooling of 1).",
        lambda ablation, run: (replace(ablation, map_source=v.MapOfAll()), run),
    ),
    Rule(
        lambda ablation, run: isinstance(ablation.border, v.GroundWeight) and not _has_finest(ablation),
        "--use_ground_weight asks the memory on the features' own grid, and there is none: every place counts the same "
        "(give --use_patch_memory with a --patch_memory_pooling of 1).",
        lambda ablation, run: (replace(ablation, border=v.NoBorderRamp()), run),
    ),
    Rule(
        lambda ablation, run: _flow_share(ablation) < 1 and _looks_around(ablation),
        "--flow_share asks the flow about single patches, and with --use_scale_context, --use_context_gate, --use_cpcf "
        "or --use_spatial_lora it looks at their neighbours: it judges all.",
        lambda ablation, run: (replace(ablation, map_source=v.MapOfFinest()), run),
    ),
    Rule(
        lambda ablation, run: (
            _flow_share(ablation) < 1
            and not (isinstance(ablation.aggregation, HANGS_ON_FEW) and isinstance(ablation.scorer, v.NllScore))
        ),
        "--flow_share is for --patch_score nll and image scores that hang on the highest patches (top_k, max, "
        "spatial_cluster): with others the flow judges all.",
        lambda ablation, run: (replace(ablation, map_source=v.MapOfFinest()), run),
    ),
    Rule(
        lambda ablation, run: run.data.val_fraction == 0 and ablation != _without_views(ablation),
        "--use_place_gaussian and --use_patch_memory are scaled by held-out images, and --val_fraction 0 leaves none: "
        "the flow scores alone.",
        lambda ablation, run: (_without_views(ablation), _calibrated_on_held_out(run)),
    ),
    Rule(
        lambda ablation, run: run.features.cache_features and isinstance(ablation.image, v.SpatialTransformer),
        "--use_stn changes images while it learns, so --use_feature_cache is off.",
        lambda ablation, run: (ablation, _without_cache(run)),
    ),
    Rule(
        lambda ablation, run: run.data.resize == "fit" and isinstance(ablation.extractor, v.Vit),
        "--resize fit gives the backbone images of different shapes, and --backbone_type vit is a transformer, which "
        "takes squares: choose another --resize or a CNN.",
    ),
    Rule(
        lambda ablation, run: run.data.resize == "fit" and isinstance(ablation.image, v.SpatialTransformer),
        "--use_stn learns on images of one shape, and --resize fit keeps each image's own: choose another --resize.",
    ),
    Rule(
        lambda ablation, run: (
            isinstance(ablation.scorer, v.DualBranch)
            and isinstance(ablation.position, v.NoPosition | v.ConditionalPosition)
        ),
        "--use_dual_branch compares scores with and without an added position, and --position condition or none adds "
        "none: choose another --position.",
    ),
    _stays_at_its_start(
        "--score_aggregation_mode adaptive", lambda ablation: isinstance(ablation.aggregation, v.Adaptive)
    ),
    _stays_at_its_start(
        "--use_multiscale_consistency", lambda ablation: isinstance(ablation.consistency, v.MultiscaleConsistency)
    ),
    _stays_at_its_start(
        "--use_dual_branch",
        lambda ablation: isinstance(ablation.scorer, v.DualBranch) and ablation.scorer.blend != "guided",
    ),
    Rule(
        lambda ablation, run: isinstance(ablation.dsm, v.Dsm) and ablation.dsm.sigma_min > ablation.dsm.sigma_max,
        "--dsm_sigma_min is above --dsm_sigma_max: lower the one or raise the other.",
    ),
    Rule(
        lambda ablation, run: (
            isinstance(ablation.position, v.ConditionalPosition) and ablation.position.channels % 4 != 0
        ),
        "--position_channels of --position condition expects a multiple of 4.",
    ),
    Rule(
        lambda ablation, run: run.features.base_from is not None and ablation.flow.base_policy != "pretrained",
        "--base_from is for --base_policy pretrained: give both or none.",
    ),
    Rule(
        lambda ablation, run: run.features.base_from is None and ablation.flow.base_policy == "pretrained",
        "--base_policy pretrained expects --base_from: a finished run's folder, its base.safetensors, or a folder of "
        "images to train on.",
    ),
    Rule(
        lambda ablation, run: ablation.flow.base_policy == "pretrained" and isinstance(ablation.sharing, v.Separated),
        "--base_policy pretrained brings a flow that tasks share, and --use_task_separated leaves none: choose one.",
    ),
    Rule(
        lambda ablation, run: run.training.calibration_folds > 1 and shared_parts_keep_learning(ablation),
        "--calibration_folds trains experts beside a frozen shared flow, and with --base_policy always, --slow_epochs, "
        "--no_freeze_spatial_mixer or --no_freeze_scale_context it goes on learning: use 1, or freeze it.",
    ),
    Rule(
        lambda ablation, run: _calibrates_on_all(run) and not isinstance(ablation.patch_memory, v.PatchMemory),
        "--calibration_images all is ignored: only what --use_patch_memory keeps can do without an image.",
        lambda ablation, run: (ablation, _calibrated_on_held_out(run)),
    ),
    Rule(
        lambda ablation, run: _calibrates_on_all(run) and isinstance(ablation.image, v.RandomRotation),
        "--calibration_images all is ignored: with --use_rotation_aug memories keep an image under several angles.",
        lambda ablation, run: (ablation, _calibrated_on_held_out(run)),
    ),
    Rule(
        lambda ablation, run: _calibrates_on_all(run) and run.training.calibration_folds > 1,
        "--calibration_images all is ignored: --calibration_folds scores the training images by experts of their own.",
        lambda ablation, run: (ablation, _calibrated_on_held_out(run)),
    ),
    Rule(
        lambda ablation, run: run.output.resume and run.output.overwrite,
        "--resume and --overwrite contradict each other; give one of them.",
    ),
)


def _without_views(ablation: AblationConfig) -> AblationConfig:
    return replace(
        ablation,
        place_gaussian=v.NoPlaceGaussian(),
        patch_memory=v.NoPatchMemory(),
        map_source=v.MapOfAll(),
        border=v.NoBorderRamp() if isinstance(ablation.border, v.GroundWeight) else ablation.border,
    )


def _has_finest(ablation: AblationConfig) -> bool:
    memory = ablation.patch_memory
    return isinstance(memory, v.PatchMemory) and 1 in memory.poolings


def _flow_share(ablation: AblationConfig) -> float:
    return ablation.map_source.flow_share if isinstance(ablation.map_source, v.MapOfFinest) else 1.0


def _looks_around(ablation: AblationConfig) -> bool:
    return not isinstance(ablation.subnet, v.PlainSubnet) or isinstance(ablation.lora, v.SpatialLora)


def _calibrates_on_all(run: RunConfig) -> bool:
    return run.training.calibration_images == "all"


def _calibrated_on_held_out(run: RunConfig) -> RunConfig:
    return replace(run, training=replace(run.training, calibration_images="held_out"))


def _without_cache(run: RunConfig) -> RunConfig:
    return replace(run, features=replace(run.features, cache_features=False))


def apply_rules(ablation: AblationConfig, run: RunConfig) -> tuple[AblationConfig, RunConfig, tuple[str, ...]]:
    """Resolve or refuse combinations that cannot act together.

    Returns:
        The configuration that will act, and a warning for each combination that was resolved.

    Raises:
        UsageError: a combination that is refused.
    """
    warnings = []
    for rule in RULES:
        if rule.when(ablation, run):
            if rule.then is None:
                raise UsageError(rule.message)
            ablation, run = rule.then(ablation, run)
            warnings.append(rule.message)
    return ablation, run, tuple(warnings)
