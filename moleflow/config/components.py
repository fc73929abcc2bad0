"""Every component of the method and its history, as data: where its formula is, its flags, what the history found.

``found`` is what the method's own history reports, on MVTec AD unless it says otherwise, in points of image AUROC where
only one number stands: a prior to test, not a truth.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Component:
    """One component.

    Attributes:
        title: what it is, in words.
        flags: the command line that chooses or sets it; empty where it has no flag.
        file: where its formula is, under moleflow/; empty where it is not built.
        found: what the history found, or when it applies.
        rows: the ablation rows that show what it does.
    """

    title: str
    flags: str
    file: str
    found: str = ""
    rows: tuple[str, ...] = ()


SECTIONS: dict[str, str] = {
    "E": "Extractors", "I": "Image", "P": "Position", "A": "Task adapters before the flow",
    "X": "Context before the flow", "F": "Flow",
    "D": "Task adapter after the flow", "L": "Losses", "O": "Protectors of shared weights", "S": "Scores",
    "V": "Second views of a task", "R": "Routing", "G": "Diagnostics",
}  # fmt: skip
"""First letter of a component's id -> its section."""

ALWAYS = "--base_policy always"

COMPONENTS: dict[str, Component] = {
    # E, I: from an image to features
    "E1": Component("CNN stages, 3×3 mean, one grid, concatenated (default)",
        "--backbone_type cnn --cnn_layers layer2 layer3", "extractors/cnn_extractor.py",
        "a finer grid is the biggest lever on pixel AP", ("channels_by_root",)),
    "E2": Component("ViT patch tokens of several blocks",
        "--backbone_type vit --backbone_name vit_base_patch16_224.augreg2_in21k_ft_in1k",
        "extractors/vit_extractor.py", "VisA: better image AUROC, worse pixel AP than WideResNet-50"),
    "E3": Component("weights without a download", "--backbone_weights FILE", "extractors/weights.py",
        "never a silent random start"),
    "E4": Component("feature cache", "--feature_cache DIR", "extractors/cache.py", "same bytes with and without it"),
    "E5": Component("overlapping patches, several scales", "", "", "proposed for small defects; not built yet"),
    "I1": Component("random rotation of training images", "--use_rotation_aug --rotation_degrees 180",
        "data/rotation.py", "with a fixed position grid: grid −6, transistor −15; no help on screw",
        ("rotation_aug",)),
    "I2": Component("spatial transformer", "--use_stn --stn_mode rotation", "models/warp/spatial_transformer.py",
        "−1.8", ("stn",)),
    # P: position
    "P1": Component("sine-cosine grid added (default)", "--use_pos_embed", "models/position/sincos.py",
        "without: −0.6 image AUROC, −8 pixel AP", ("wo_pos_embed",)),
    "P2": Component("relative position: attention with a bias for each offset",
        "--use_relative_position --relative_position_max_dist 7", "models/position/relative.py", "worse on screw",
        ("pos_relative",)),
    "P3": Component("TAPE: a gate per task scales the grid",
        "--use_tape --tape_init_value 0 --tape_lr_multiplier 100", "models/position/tape.py",
        "moves only with the multiplier; likelihood drives it the wrong way", ("pos_tape",)),
    "P4": Component("position from content; hybrid of grid and content", "--position content",
        "models/position/content.py", "worse", ("pos_content", "pos_hybrid")),
    "P5": Component("scores under four orientations", "--use_multi_orientation",
        "models/scoring/multi_orientation.py", "no gain for four times the cost", ("multi_orientation",)),
    "P6": Component("subnets told their position", "--position condition", "models/subnets/position_conditioned.py",
        "this project, realstream: +2", ("pos_condition",)),
    # A, X: before the flow
    "A1": Component("whitening adapter (default)", "--use_whitening_adapter", "models/adapters/whitening.py",
        "without: −2.3 image AUROC, −7 pixel AP; alone it can hurt", ("wo_adapter", "adapter_no_logdet")),
    "A2": Component("the same without layer norm", "--adapter_mode whitening_no_ln", "models/adapters/whitening.py",
        "−4.8", ("adapter_no_ln",)),
    "A3": Component("FiLM and a gated perceptron", "--adapter_mode film", "models/adapters/film.py", "history v3",
        ("adapter_film",)),
    "A4": Component("instance norm and a gated perceptron", "--adapter_mode instance_norm",
        "models/adapters/instance_norm.py", "history v1", ("adapter_instance_norm",)),
    "A5": Component("none", "--adapter_mode none", "", "", ("wo_adapter",)),
    "A6": Component("ZCA whitening in closed form", "--adapter_mode zca", "models/adapters/zca.py", "new",
        ("adapter_zca",)),
    "X1": Component("spatial mixer (default)", "--use_spatial_context --spatial_context_kernel 3",
        "models/context/spatial_mixer.py", "learning in every task: task 0 falls from 1.00 to 0.07 after 15 tasks",
        ("wo_spatial_ctx", "ctx_unfrozen")),
    "X2": Component("multi-scale context", "--use_ms_context --adapter_mode film", "models/context/multi_scale.py",
        "unstable together with A1: the mixer takes its place there", ("ctx_multi_scale",)),
    "X3": Component("multi-scale context with gates per task", "--use_task_conditioned_ms_context",
        "models/context/multi_scale.py", "", ("ctx_task_multi_scale",)),
    "X4": Component("self-attention over patches", "--use_patch_attention", "models/context/attention.py",
        "hurts ViT features", ("ctx_attention",)),
    "X5": Component("mixer with a gate, scale and bias per task", "--use_task_adaptive_context",
        "models/context/spatial_mixer.py", "", ("ctx_task_adaptive",)),
    "X6": Component("attention to region means", "--use_global_context --global_context_regions 4",
        "models/context/attention.py", "", ("ctx_global",)),
    "X7": Component("semantic projector", "--use_semantic_projector --semantic_bottleneck_ratio 0.5",
        "models/context/semantic_projector.py", "", ("ctx_semantic",)),
    # F, D: the flow, and the adapter after it
    "F1": Component("clamped affine couplings (default)", "--num_coupling_layers 8", "models/coupling.py",
        "16 was unstable", ("coupling_10", "coupling_12", "coupling_16")),
    "F2": Component("plain subnets", "--no_scale_context --subnet_hidden_ratio 1.0", "models/subnets/plain.py",
        "half the width suffices on realstream", ("wo_scale_ctx", "hidden_half")),
    "F3": Component("scale-context subnets (default)", "--use_scale_context --scale_context_kernel 5",
        "models/subnets/scale_context.py", "k = 5: +1 to 2 pixel AP; k = 7 better for VisA pixel AP",
        ("wo_scale_ctx", "scale_k_3", "scale_k_7")),
    "F4": Component("scale context with a gate for each patch", "--use_context_gate --context_gate_hidden 64",
        "models/subnets/gated_context.py", "", ("context_gate",)),
    "F5": Component("LoRA on every subnet linear (default)", "--use_lora --lora_rank 64 --lora_alpha 1",
        "models/lora.py", "ranks 16 to 256 equal within 0.1; α/r, not α/2r",
        ("wo_lora", "rank_16", "rank_256", "lora_not_in_task0", "lora_2r", "no_task_bias")),
    "F6": Component("a full delta per task", "--use_regular_linear", "models/full_delta.py", "", ("regular_linear",)),
    "F7": Component("context and flow of the task's own", "--use_task_separated", "models/separated.py",
        "upper bound", ("task_separated", "both")),
    "F8": Component("everything shared, trained always", f"{ALWAYS} --no_lora", "models/build/policy.py",
        "trainable baseline 68.1 / 9.3, frozen with LoRA 84.1 / 41.6 (image AUROC / pixel AP)",
        ("all_shared", "base_always")),
    "F9": Component("spectral norm on the subnets", "--use_spectral_norm", "models/spectral.py", "",
        ("spectral_norm",)),
    "F10": Component("SC-LoRA: deltas on a grid of places", "--use_spatial_lora --sc_lora_grid_size 4",
        "models/spatial_lora.py", "", ("sc_lora",)),
    "F11": Component("CPCF: both nets see a blend with the neighbours", "--use_cpcf --cpcf_context_kernel 3",
        "models/subnets/cpcf.py", "learned contexts are biased to task 0",
        ("cpcf", "cpcf_learned", "cpcf_attention")),
    "F12": Component("when the base learns", "--base_policy pretrained --base_from DIR", "models/build/policy.py", "",
        ("base_always",)),
    "F13": Component("slow stage of the last blocks", "--slow_epochs 1 --slow_lr_ratio 0.1 --slow_last_blocks 2",
        "trainer/continual_trainer.py", "breaks isolation, and says so", ("slow_stage",)),
    "D1": Component("DIA: couplings of the task's own (default)", "--use_dia --dia_n_blocks 4 --dia_hidden_ratio 0.5",
        "models/dia/coupling_dia.py",
        "without: −3.5 image AUROC, −8 pixel AP; more blocks: more image AUROC, less pixel AP",
        ("wo_dia", "dia_2", "dia_6", "dia_8", "dia_auto")),
    # L, O: what is minimised, what is protected
    "L1": Component("mean NLL", "--no_tail_aware_loss", "losses/nll.py", "", ("wo_tail",)),
    "L2": Component("tail-aware NLL (default)", "--use_tail_aware_loss --tail_weight 0.7 --tail_top_k_ratio 0.02",
        "losses/tail.py", "+10 pixel AP; the tail's gradient is 42 times stronger",
        ("wo_tail", "tail_w_03", "tail_w_10", "tail_r_010")),
    "L3": Component("log-det penalty (default)", "--lambda_logdet 1e-4", "losses/logdet.py",
        "+4 pixel AP; 2e-4 for VisA pixels", ("wo_logdet_reg",)),
    "L4": Component("focal NLL", "--focal_gamma 2", "losses/focal.py", "", ("focal",)),
    "L5": Component("centre loss", "--center_loss_weight 0.05", "losses/center.py", "redundant with NLL",
        ("center",)),
    "L6": Component("denoising score matching", "--use_dsm --dsm_mode hybrid --dsm_alpha 0.5", "losses/dsm.py",
        "without its weight the smallest σ dominates by 10⁴",
        ("dsm_only", "dsm_hybrid", "dsm_annealed", "dsm_sliced", "dsm_clean")),
    "L7": Component("margin on pseudo-anomalies", "--pseudo_margin_weight 0.1", "losses/pseudo.py",
        "future work in the history", ("pseudo_margin",)),
    "L8": Component("identity pull of A1 in the first task, penalty of I2 (with their parts)",
        "--adapter_identity_pull 0.1", "losses/terms.py"),
    "O1": Component("OGP: updates keep clear of older tasks' directions", f"--use_ogp --ogp_threshold 0.99 {ALWAYS}",
        "trainer/regularizers/ogp.py", "acts only where shared weights keep learning", ("ogp",)),
    "O2": Component("EWC", f"--use_ewc --ewc_lambda 1000 {ALWAYS}", "trainer/regularizers/ewc.py", "", ("ewc",)),
    "O3": Component("replayed features", f"--use_replay --replay_per_task 16 {ALWAYS}",
        "trainer/regularizers/replay.py", "", ("replay",)),
    "O4": Component("distillation", f"--use_distillation {ALWAYS}", "trainer/regularizers/distillation.py", "",
        ("distillation",)),
    # S, V, R: scores and routes
    "S1": Component("NLL as the patch score (default)", "--patch_score nll", "models/scoring/scorer.py"),
    "S2": Component("image score by aggregation (default: top-3)",
        "--score_aggregation_mode top_k --score_aggregation_top_k 3", "models/scoring/aggregation.py",
        "top-3 best; mean −16",
        ("top_k_1", "top_k_5", "top_k_10", "agg_top_k_percent", "agg_percentile", "agg_max", "agg_mean",
         "agg_spatial_cluster", "agg_adaptive")),
    "S3": Component("agreement with the neighbourhood", "--use_local_consistency --local_consistency_kernel 3",
        "models/scoring/consistency.py", "small gain", ("local_consistency", "multiscale_consistency")),
    "S4": Component("scores with and without position, blended", "--use_dual_branch --dual_blend improved",
        "models/scoring/dual_branch.py", "screw 0.91, other classes collapse",
        ("dual_branch", "dual_improved", "dual_guided")),
    "S5": Component("bilinear, then Gaussian σ = 4 (default)", "--smoothing gaussian --smoothing_sigma 4",
        "models/scoring/smoothing.py", "σ = 2 helps small defects", ("smooth_2", "smooth_multi", "smooth_none")),
    "S6": Component("calibration of image scores per task", "--score_calibration zscore",
        "models/scoring/calibration.py", "makes tasks comparable",
        ("calibration_zscore", "calibration_excess", "calibration_pvalue")),
    "S7": Component("threshold from normal scores: a quantile of theirs, or a fitted tail",
        "--threshold_rule pareto", "models/scoring/limits.py", "", ("threshold_pareto",)),
    "S8": Component("a threshold for each region of the image", "--use_region_thresholds --region_grid 4",
        "models/scoring/decision.py", "", ("region_thresholds",)),
    "V1": Component("a low-rank Gaussian for each place of the grid, beside the flow",
        "--use_place_gaussian --place_gaussian_grid 16 --place_gaussian_rank 16", "models/views/place_gaussian.py",
        "this project, prototype on realstream: z-scored sum with the flow +2 pixel AP", ("place_gaussian",)),
    "V2": Component("patches near the frame count less", "--border_ramp 0.1", "models/scoring/border.py",
        "this project, realstream: image AUROC +0.2, pixel AP +4.4 with V1 on resnet50_v1", ("border_ramp",)),
    "V3": Component("distance to the nearest of a few kept normal patches, beside the flow",
        "--use_patch_memory --patch_memory_size 2000 --patch_memory_pooling 1 2", "models/views/patch_memory.py",
        "this project, realstream with V1 and V2: lite0 pixel AP +2.5, resnet50_v1 +1.9",
        ("patch_memory", "memory_depth", "memory_directions", "memory_candidates")),
    "V4": Component("the map is drawn by the views on the features' own grid alone",
        "--use_patch_memory --map_source finest", "models/views/base.py", "", ("map_of_finest",)),
    "V5": Component("the flow judges only those patches that the views find most unusual",
        "--use_patch_memory --map_source finest --no_scale_context --flow_share 0.05", "models/views/base.py", "",
        ("flow_asked_little",)),
    "V6": Component("patches count less at places where normal images hardly differ",
        "--use_patch_memory --use_ground_weight", "models/scoring/ground.py", "", ("ground_weight",)),
    "R1": Component("Mahalanobis, a covariance per task", "--router per_task", "models/routing/mahalanobis.py",
        "fails with fewer images than dimensions", ("router_per_task",)),
    "R2": Component("nearest prototype", "--router euclidean", "models/routing/euclidean.py", "",
        ("router_euclidean",)),
    "R3": Component("the true task is given", "--no_router", "models/routing/oracle.py", "", ("wo_router",)),
    "R4": Component("prototypes, then likelihood", "--use_hybrid_router --router_top_k 2", "models/routing/hybrid.py",
        "", ("router_hybrid",)),
    "R5": Component("Mahalanobis, one pooled covariance (default)", "--router tied", "models/routing/mahalanobis.py",
        "memory independent of the number of tasks", ("wo_router",)),
    "R6": Component("open set: images of no known task", "--router_reject_rate 0.01", "models/routing/open_set.py",
        "", ("open_set",)),
    # components.md §12
    "G1": Component("diagnostics of latents, log-dets, gates, routing", "--run_diagnostics",
        "evaluation/diagnostics.py"),
}  # fmt: skip
"""Id -> component, in the order of the data path."""
