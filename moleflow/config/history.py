"""The versions of the method's history, as data: each line holds only what differs from the version it came from.

Where the history leaves a setting open, a version keeps its parent's. Three readings follow from that: the ``V3_*``
line comes from ``baseline_1_5`` (with its FiLM adapter, its mean NLL and its percentile, until ``V4`` and later lines
replace them), the ``V6_*`` and ``V7_*`` lines come from ``V5_final``, and ``v8_1`` uses DINOv2, the ViT whose own image
size 518 is.
"""

from dataclasses import dataclass
from typing import Any

VIT: dict[str, Any] = {
    "dataset": "mvtec", "img_size": 224, "backbone_type": "vit",
    "backbone_name": "vit_base_patch16_224.augreg2_in21k_ft_in1k",
}  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One line of the history.

    Attributes:
        parent: the version it came from; None: the full method of today on ViT-B/16 at 224 pixels.
        sentence: what differs from the parent.
        changes: the flags in which it differs; None puts a flag of the parent back to its default.
        reported: figures from the method's history.
    """

    parent: str | None
    sentence: str
    changes: dict[str, Any]
    reported: str = "–"


ALL_TASKS = {"use_spatial_context": True, "freeze_spatial_mixer": False}

VERSIONS: dict[str, Version] = {
    "v1": Version(
        None,
        "instance-norm adapter, plain subnets, LoRA of α/2r in later tasks only, mean NLL, percentile, "
        "no context, no DIA",
        {
            "adapter_mode": "instance_norm", "use_scale_context": False, "use_spatial_context": False,
            "lora_in_task0": False, "lora_scaling": "alpha_over_2r", "use_dia": False, "use_tail_aware_loss": False,
            "score_aggregation_mode": "percentile", "score_aggregation_percentile": 0.99,
        },
    ),
    "v2": Version("v1", "LoRA in the first task too, scale α/r",
                  {"lora_in_task0": None, "lora_scaling": None}),
    "v3": Version("v2", "FiLM adapter", {"adapter_mode": "film"}),
    "v4": Version("v3", "SC-LoRA and CPCF, whose context learns in the first task",
                  {"use_spatial_lora": True, "use_cpcf": True, "cpcf_mode": "learned", "use_scale_context": None}),
    "v4_1": Version("v4", "the context of CPCF is the fixed mean", {"cpcf_mode": "mean"}),
    "v5": Version("v3", "centre loss", {"center_loss_weight": 0.05}),
    "v6": Version("v3", "self-attention over patches", {"use_patch_attention": True, "use_spatial_context": None}),
    "v7": Version("v3", "focal NLL", {"focal_gamma": 2.0, "use_tail_aware_loss": None}),
    "baseline_1_5": Version("v3", "scale context, 3×3", {"use_scale_context": True, "scale_context_kernel": 3}),
    "baseline_2_0": Version("v3", "scale context with a gate for each patch",
                            {"use_context_gate": True, "use_scale_context": None}),
    "v8_1": Version(
        None,
        "518 pixels, without whitening, mixer, DIA and scale context",
        {
            "backbone_name": "vit_base_patch14_dinov2.lvd142m", "img_size": 518, "lora_rank": 64,
            "adapter_mode": "none", "use_spatial_context": False, "use_dia": False, "use_scale_context": False,
        },
        "image AUROC of screw 67",
    ),
    "V3_dia": Version("baseline_1_5", "mixer that learns in every task, DIA", {**ALL_TASKS, "use_dia": True}),
    "V3_ogp": Version("baseline_1_5", "mixer that learns in every task, OGP", {**ALL_TASKS, "use_ogp": True}),
    "V3_dia_ogp": Version("V3_dia", "OGP", {"use_ogp": True}),
    "V3_whitening": Version("baseline_1_5", "mixer that learns in every task, whitening adapter",
                            {**ALL_TASKS, "adapter_mode": "whitening"}),
    "V3_ms_context": Version("baseline_1_5", "multi-scale context in the mixer's place",
                             {"use_ms_context": True, "use_spatial_context": None}),
    "V3_all": Version("V3_dia_ogp", "whitening adapter (multi-scale context cannot act with it: the mixer stays)",
                      {"adapter_mode": "whitening"}),
    "V4": Version("V3_whitening", "DIA of 2 blocks, mixer frozen after the first task, the scale's context not",
                  {"use_dia": True, "dia_n_blocks": 2, "freeze_spatial_mixer": True, "freeze_scale_context": False}),
    "V4_1": Version("V4", "the scale's context frozen, too", {"freeze_scale_context": True}),
    "V4_3": Version("V4_1", "top-3 instead of the percentile",
                    {"score_aggregation_mode": "top_k", "score_aggregation_top_k": 3,
                     "score_aggregation_percentile": None}),
    "V4_4": Version("V4_1", "whitening adapter without layer norm", {"adapter_mode": "whitening_no_ln"}),
    "V5_final": Version("V4_3", "tail-aware loss",
                        {"use_tail_aware_loss": True, "tail_weight": 0.3, "tail_top_k_ratio": 0.05}),
    "V5_5_relative": Version("V5_final", "relative position", {"use_relative_position": True}),
    "V5_5_dual": Version("V5_final", "scores with and without position, blended", {"use_dual_branch": True}),
    "V5_5_local": Version("V5_final", "local consistency", {"use_local_consistency": True}),
    "V5_5_relative_local": Version("V5_5_relative", "local consistency", {"use_local_consistency": True}),
    "V5_6_improved": Version("V5_5_dual", "blend that cannot collapse", {"dual_blend": "improved"}),
    "V5_6_guided": Version("V5_5_dual", "blend guided by the scores", {"dual_blend": "guided"}),
    "V5_6_multiscale": Version("V5_final", "consistency over 3, 5 and 7 patches", {"use_multiscale_consistency": True}),
    "V5_6_combined": Version("V5_6_improved", "consistency over 3, 5 and 7 patches",
                             {"use_multiscale_consistency": True}),
    "V5_7_multi": Version("V5_final", "scores under four orientations", {"use_multi_orientation": True}),
    "V5_7_content": Version("V5_final", "position from content", {"position": "content"}),
    "V5_7_hybrid": Version("V5_final", "position from grid and content", {"position": "hybrid"}),
    "V5_8_tape": Version("V5_final", "gated position, learning at the common rate",
                         {"use_tape": True, "tape_lr_multiplier": 1.0}),
    "V5_8_tape2": Version("V5_8_tape", "its gate learns 100 times faster", {"tape_lr_multiplier": 100.0}),
    "V6_rotation": Version("V5_final", "training images under random rotations", {"use_rotation_aug": True}),
    "V6_no_pe": Version("V5_final", "no position", {"use_pos_embed": False}),
    "V6_1_stn": Version("V5_final", "spatial transformer before the backbone",
                        {"use_stn": True, "use_feature_cache": False}),
    "V6_no_lora": Version("V5_final", "a full delta per task instead of LoRA", {"use_regular_linear": True}),
    "V6_task_separated": Version("V5_final", "context and flow of the task's own", {"use_task_separated": True}),
    "V6_both": Version("V6_no_lora", "context and flow of the task's own", {"use_task_separated": True}),
    "V6_spectral": Version("V5_final", "spectral norm", {"use_spectral_norm": True}),
    "V7_dsm": Version("V5_final", "denoising score matching instead of likelihood, no DIA",
                      {"use_dsm": True, "dsm_mode": "dsm_only", "use_dia": False, "dia_n_blocks": None}),
    "V7_hybrid": Version("V7_dsm", "blended with the likelihood", {"dsm_mode": "hybrid"}),
}  # fmt: skip


def flags_of(name: str) -> dict[str, Any]:
    """All flags of a version: its line of parents merged, from the oldest to itself."""
    version = VERSIONS[name]
    inherited = flags_of(version.parent) if version.parent else VIT
    return {flag: value for flag, value in {**inherited, **version.changes}.items() if value is not None}
