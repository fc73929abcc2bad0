"""The rows of the ablation table, as data: each names the flags in which it differs from the full method.

Rows come in groups, which the scripts ask for by name. A sweep also holds the full method's own value, as a
``reference`` row, so that the sweep is whole under presets with another value.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ablation:
    """One row of the ablation table.

    Attributes:
        title: what it is, in words.
        flags: in what it differs from the full method.
        group: the study it belongs to.
        reference: whether it equals the full method: the full method's place in a sweep.
    """

    title: str
    flags: dict[str, Any]
    group: str = "core"
    reference: bool = False


def _sweep(group: str, prefix: str, title: str, flag: str, values: dict[str, Any], default: str) -> dict[str, Ablation]:
    """One row for each value of a flag: suffix of the name -> value; ``default`` is the full method's suffix."""
    return {
        f"{prefix}_{suffix}": Ablation(f"{title} {value}", {flag: value}, group, suffix == default)
        for suffix, value in values.items()
    }


def _parts(group: str, rows: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Ablation]:
    return {name: Ablation(title, flags, group) for name, (title, flags) in rows.items()}


CORE = _parts("core", {
    "wo_lora": ("without LoRA", {"use_lora": False}),
    "wo_router": ("without router (task given)", {"router": "oracle"}),
    "wo_scale_ctx": ("without scale context", {"use_scale_context": False}),
    "wo_spatial_ctx": ("without spatial mixer", {"use_spatial_context": False}),
    "wo_pos_embed": ("without position", {"use_pos_embed": False}),
    "wo_adapter": ("without whitening adapter", {"adapter_mode": "none"}),
    "wo_dia": ("without DIA", {"use_dia": False}),
    "wo_tail": ("without tail-aware loss", {"use_tail_aware_loss": False}),
    "wo_logdet_reg": ("without log-det penalty", {"use_logdet_reg": False}),
})  # fmt: skip

ALWAYS = {"base_policy": "always"}

DESIGN = _parts("design", {
    "regular_linear": ("a full delta per task instead of LoRA", {"use_regular_linear": True}),
    "task_separated": ("context and flow of the task's own", {"use_task_separated": True}),
    "both": ("full deltas, context and flow of the task's own",
             {"use_regular_linear": True, "use_task_separated": True}),
    "all_shared": ("everything shared, trained always",
                   {**ALWAYS, "use_lora": False, "adapter_mode": "none", "use_dia": False}),
    "spectral_norm": ("spectral norm on the subnets", {"use_spectral_norm": True}),
})  # fmt: skip

BARE = {"adapter_mode": "none", "use_tail_aware_loss": False, "use_dia": False}
BASES = {"frozen": ("frozen base", {}), "trainable": ("trainable base without LoRA", {**ALWAYS, "use_lora": False})}
BOOSTERS = {
    "none": ("no booster", ()), "wa": ("whitening adapter only", ("adapter_mode",)),
    "tal": ("tail-aware loss only", ("use_tail_aware_loss",)), "dia": ("DIA only", ("use_dia",)),
}  # fmt: skip

INTERACTION = {
    f"inter_{base}_{booster}": Ablation(
        f"{base_title}, {title}",
        {**base_flags, **{flag: value for flag, value in BARE.items() if flag not in kept}},
        "interaction",
    )
    for base, (base_title, base_flags) in BASES.items()
    for booster, (title, kept) in BOOSTERS.items()
}

SWEEPS = {
    **_sweep("rank", "rank", "LoRA rank", "lora_rank", {str(rank): rank for rank in (8, 16, 32, 64, 128, 256)}, "64"),
    **_sweep("tail", "tail_w", "tail weight", "tail_weight",
             {"00": 0.0, "03": 0.3, "05": 0.5, "06": 0.6, "07": 0.7, "08": 0.8, "10": 1.0}, "07"),
    **_sweep("tail", "tail_r", "tail share", "tail_top_k_ratio",
             {"001": 0.01, "002": 0.02, "005": 0.05, "010": 0.1}, "002"),
    **_sweep("coupling", "coupling", "coupling blocks", "num_coupling_layers",
             {str(n): n for n in (8, 10, 12, 16)}, "8"),
    "dia_0": Ablation("DIA blocks 0 (no DIA)", {"use_dia": False}, "dia"),
    **_sweep("dia", "dia", "DIA blocks", "dia_n_blocks", {**{str(n): n for n in range(1, 9)}, "auto": "auto"}, "4"),
    **{f"scale_k_{k}": Ablation(f"scale context {k}×{k}", {"use_scale_context": True, "scale_context_kernel": k},
                                "scale_context", k == 5) for k in (3, 5, 7)},
}  # fmt: skip

AGGREGATIONS = ("top_k_percent", "percentile", "max", "mean", "spatial_cluster", "adaptive")

SCORES = {
    **_sweep("aggregation", "top_k", "image score: mean of the highest", "score_aggregation_top_k",
             {"1": 1, "3": 3, "5": 5, "10": 10}, "3"),
    **_sweep("aggregation", "agg", "image score:", "score_aggregation_mode",
             dict(zip(AGGREGATIONS, AGGREGATIONS, strict=True)), default=""),
    **_parts("score", {
        "local_consistency": ("scores weighted by agreement with 3×3 neighbours", {"use_local_consistency": True}),
        "multiscale_consistency": ("the same over 3, 5 and 7 patches", {"use_multiscale_consistency": True}),
        "dual_branch": ("scores with and without position, learned blend", {"use_dual_branch": True}),
        "dual_improved": ("the same, blend that cannot collapse", {"use_dual_branch": True, "dual_blend": "improved"}),
        "dual_guided": ("the same, blend guided by the scores", {"use_dual_branch": True, "dual_blend": "guided"}),
        "multi_orientation": ("the likeliest of four orientations", {"use_multi_orientation": True}),
        "place_gaussian": ("a Gaussian for each place of the grid beside the flow", {"use_place_gaussian": True}),
        "patch_memory": ("distance to kept patches beside the flow", {"use_patch_memory": True}),
        "map_of_finest": ("the map drawn by the memory on the features' own grid",
                          {"use_patch_memory": True, "map_source": "finest"}),
        "flow_asked_little": ("the flow judges the twentieth of patches that the memories find most unusual",
                              {"use_patch_memory": True, "map_source": "finest", "flow_share": 0.05,
                               "use_scale_context": False}),
        "memory_depth": ("shallow channels count more in the fine memory and less in the pooled one",
                         {"use_patch_memory": True, "patch_memory_shallow": [1.3, 0.5]}),
        "memory_directions": ("memories compared along 96 principal directions and the length of the rest",
                              {"use_patch_memory": True, "patch_memory_directions": [96]}),
        "memory_candidates": ("memories chosen among 40 000 patches",
                              {"use_patch_memory": True, "patch_memory_candidates": 40_000}),
        "border_ramp": ("patches near the frame count less", {"use_border_ramp": True}),
        "ground_weight": ("patches count less where normal images hardly differ",
                          {"use_patch_memory": True, "use_ground_weight": True}),
        "smooth_2": ("pixel map smoothed by σ = 2", {"smoothing_sigma": 2.0}),
        "smooth_multi": ("pixel map smoothed by σ = 2 and σ = 4", {"smoothing": "multi"}),
        "smooth_none": ("pixel map not smoothed", {"smoothing": "none"}),
        "calibration_zscore": ("image scores as z-scores", {"score_calibration": "zscore"}),
        "calibration_excess": ("image scores in mean excesses", {"score_calibration": "excess"}),
        "calibration_pvalue": ("image scores as p-values", {"score_calibration": "pvalue"}),
        "threshold_pareto": ("thresholds from a fitted tail", {"threshold_rule": "pareto"}),
        "region_thresholds": ("a threshold for each of 4×4 regions", {"use_region_thresholds": True}),
    }),
    **_parts("router", {
        "router_per_task": ("router: a covariance per task", {"router": "per_task"}),
        "router_euclidean": ("router: nearest prototype", {"router": "euclidean"}),
        "router_hybrid": ("router: prototypes, then likelihood", {"router": "hybrid"}),
        "open_set": ("1 % of normals may be called unknown", {"router_reject_rate": 0.01}),
    }),
}  # fmt: skip

FEATURES = {
    **_parts("image", {
        "rotation_aug": ("training images under random rotations", {"use_rotation_aug": True}),
        "stn": ("spatial transformer before the backbone", {"use_stn": True, "use_feature_cache": False}),
    }),
    **_parts("extractor", {
        "channels_by_root": ("a stage's share of 128 channels by the root of its width",
                             {"channel_shares": "root", "embed_dim": 128}),
    }),
    **_parts("position", {
        "pos_relative": ("relative position", {"position": "relative"}),
        "pos_tape": ("grid with a gate per task", {"position": "tape"}),
        "pos_content": ("position from content", {"position": "content"}),
        "pos_hybrid": ("position from grid and content", {"position": "hybrid"}),
        "pos_condition": ("subnets told their position, features as they are", {"position": "condition"}),
    }),
    **_parts("adapter", {
        "adapter_no_ln": ("whitening adapter without layer norm", {"adapter_mode": "whitening_no_ln"}),
        "adapter_film": ("FiLM adapter", {"adapter_mode": "film"}),
        "adapter_instance_norm": ("instance-norm adapter", {"adapter_mode": "instance_norm"}),
        "adapter_zca": ("ZCA adapter in closed form", {"adapter_mode": "zca"}),
        "adapter_no_logdet": ("whitening adapter left out of the log-det", {"adapter_logdet": False}),
    }),
    **_parts("context", {
        "scale_ctx_unfrozen": ("scale context that learns in every task", {"freeze_scale_context": False}),
        "ctx_unfrozen": ("mixer that learns in every task", {"freeze_spatial_mixer": False}),
        "ctx_multi_scale": ("multi-scale context, FiLM adapter (it cannot act with whitening)",
                            {"use_ms_context": True, "adapter_mode": "film"}),
        "ctx_task_multi_scale": ("multi-scale context with gates per task", {"use_task_conditioned_ms_context": True}),
        "ctx_attention": ("self-attention over patches", {"use_patch_attention": True}),
        "ctx_task_adaptive": ("mixer with a gate, scale and bias per task", {"use_task_adaptive_context": True}),
        "ctx_global": ("attention to region means", {"use_global_context": True}),
        "ctx_semantic": ("semantic projector", {"use_semantic_projector": True}),
    }),
}  # fmt: skip

FLOWS = _parts("flow", {
    "context_gate": ("scale context with a gate for each patch", {"use_context_gate": True}),
    "cpcf": ("CPCF, mean context", {"use_cpcf": True}),
    "cpcf_learned": ("CPCF, learned context", {"use_cpcf": True, "cpcf_mode": "learned"}),
    "cpcf_attention": ("CPCF, attention", {"use_cpcf": True, "cpcf_use_attention": True}),
    "hidden_half": ("subnets of half the width", {"subnet_hidden_ratio": 0.5}),
    "sc_lora": ("SC-LoRA: deltas on a 4×4 grid", {"use_spatial_lora": True}),
    "lora_not_in_task0": ("no LoRA in the first task", {"lora_in_task0": False}),
    "lora_2r": ("LoRA scale α/2r", {"lora_scaling": "alpha_over_2r"}),
    "lora_alpha_r": ("LoRA scale 1 (α = r)", {"lora_alpha": 64.0}),
    "no_task_bias": ("no bias per task", {"task_bias": False}),
})  # fmt: skip

LOSSES = _parts("loss", {
    "focal": ("focal NLL", {"use_focal_loss": True}),
    "center": ("centre loss", {"use_center_loss": True}),
    "dsm_only": ("denoising score matching, no likelihood, no DIA",
                 {"use_dsm": True, "dsm_mode": "dsm_only", "use_dia": False}),
    "dsm_hybrid": ("likelihood and score matching, no DIA", {"use_dsm": True, "use_dia": False}),
    "dsm_annealed": ("the same, likelihood's share from 0.5 to 1",
                     {"use_dsm": True, "dsm_alpha_end": 1.0, "use_dia": False}),
    "dsm_sliced": ("likelihood and sliced score matching, no DIA",
                   {"use_dsm": True, "dsm_use_sliced": True, "use_dia": False}),
    "dsm_clean": ("likelihood, score matching and a flat score at clean features, no DIA",
                  {"use_dsm": True, "dsm_clean_penalty": 0.1, "use_dia": False}),
    "pseudo_margin": ("margin on pseudo-anomalies", {"use_pseudo_margin": True}),
})  # fmt: skip

PROTECTORS = _parts("protector", {
    "base_always": ("base that learns in every task", ALWAYS),
    "ogp": ("the same under OGP", {**ALWAYS, "use_ogp": True}),
    "ewc": ("the same under EWC", {**ALWAYS, "use_ewc": True}),
    "replay": ("the same with replayed features", {**ALWAYS, "use_replay": True}),
    "distillation": ("the same with distillation", {**ALWAYS, "use_distillation": True}),
    "slow_stage": ("slow stage of the last two blocks under EWC", {"slow_epochs": 1, "use_ewc": True}),
})  # fmt: skip

ABLATIONS: dict[str, Ablation] = {
    **CORE, **DESIGN, **INTERACTION, **SWEEPS, **SCORES, **FEATURES, **FLOWS, **LOSSES, **PROTECTORS
}  # fmt: skip

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name, row in ABLATIONS.items() if row.group == group)
    for group in dict.fromkeys(row.group for row in ABLATIONS.values())
}
"""Study -> its rows."""
