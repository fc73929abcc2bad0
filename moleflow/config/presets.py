"""Named settings, as data: presets, with the published number beside each, and old spellings of flags.

Keys are the command line's flags. ``verified`` stays "no" until a run on the real dataset has reached the number.
"""

from dataclasses import dataclass, field
from typing import Any

from moleflow.config.ablations import ABLATIONS, Ablation
from moleflow.config.history import VERSIONS, VIT, flags_of

__all__ = ["ABLATIONS", "ALIASES", "PRESETS", "SHORTHANDS", "Ablation", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A named set of flags.

    Attributes:
        sentence: what it is for.
        flags: what it sets.
        reported: figures from the method's history or from this project's own runs.
        verified: whether a run of this code reached them, and where.
    """

    sentence: str
    flags: dict[str, Any] = field(default_factory=dict)
    reported: str = "–"
    verified: str = "no"


MVTEC: dict[str, Any] = {
    "dataset": "mvtec", "backbone_name": "wide_resnet50_2", "img_size": 224, "embed_dim": 768,
    "lora_rank": 64, "dia_n_blocks": 4, "tail_weight": 0.7, "tail_top_k_ratio": 0.02, "score_aggregation_top_k": 3,
    "lambda_logdet": 1e-4, "scale_context_kernel": 5, "lr": 3e-4, "batch_size": 16,
}  # fmt: skip

SMALL: dict[str, Any] = {
    "img_size": 256, "cnn_layers": ["layer1", "layer2", "layer3"], "embed_dim": 256,
    "position": "condition", "num_coupling_layers": 4, "use_scale_context": False, "subnet_hidden_ratio": 0.5,
    "lora_alpha": 64,
}  # fmt: skip

REALSTREAM: dict[str, Any] = {
    **SMALL, "dataset": "folder", "resize": "fit", "backbone_name": "tf_efficientnet_lite0", "feature_grid": 32,
    "pool_frame": "zeros", "batch_size": 8, "num_epochs": 15, "num_steps": 150, "lr": 2e-3, "lora_rank": 16,
    "num_coupling_layers": 2, "dia_n_blocks": 1, "use_spatial_context": False, "use_patch_memory": True,
    "patch_memory_size": 3000, "patch_memory_directions": [96, 0], "map_source": "finest",
    "flow_share": 0.05, "use_ground_weight": True, "smoothing_sigma": 3.0, "calibration_images": "all",
}  # fmt: skip

PRESETS: dict[str, Preset] = {
    "mvtec_main": Preset(
        "The method's main setting on MVTec AD.",
        {**MVTEC, "num_coupling_layers": 8, "num_epochs": 60},
        "image AUROC 98.03 ± 0.19, pixel AUROC 97.81 ± 0.03, pixel AP 53.78 ± 0.73, routing 100 % (5 seeds)",
    ),
    "mvtec_default": Preset(
        "The longer, deeper setting of the method's history on MVTec AD.",
        {**MVTEC, "num_coupling_layers": 10, "num_epochs": 80},
    ),
    "mvtec_pixel": Preset(
        "The main setting tuned to pixels on MVTec AD.",
        {**MVTEC, "num_coupling_layers": 8, "num_epochs": 60, "tail_weight": 0.75, "score_aggregation_top_k": 5},
        "image AUROC 98.12, pixel AP 54.49",
    ),
    "visa_image": Preset(
        "The best image AUROC of the method's history on VisA.",
        {**MVTEC, **VIT, "dataset": "visa", "num_coupling_layers": 12, "dia_n_blocks": 8, "lora_rank": 128,
         "lr": 8e-5, "num_epochs": 100},
        "image AUROC 90.71, pixel AP 25.28",
    ),
    "visa_pixel": Preset(
        "The best pixel AP of the method's history on VisA.",
        {**MVTEC, "dataset": "visa", "num_coupling_layers": 8, "tail_weight": 0.6, "lambda_logdet": 2e-4,
         "scale_context_kernel": 7, "lr": 2e-4, "num_epochs": 80},
        "image AUROC 87.61, pixel AP 30.44",
    ),
    "demo": Preset(
        "Three generated products on the CPU, no download.",
        {
            **SMALL, "dataset": "demo", "backbone_name": "tf_efficientnet_lite0",
            "task_classes": ["fabric", "washer", "biscuit"],
            "num_steps": 60, "lr": 2e-3, "dia_n_blocks": 2, "experiment_name": "demo", "resume": True,
        },
        "image AUROC 100.0, pixel AP 51.6, routing 100 %",
        "yes: this project, two CPU cores, 42 s",
    ),
    "realstream": Preset(
        "Five real products on two CPU cores.",
        REALSTREAM,
        "lite0: image AUROC 94.2, pixel AP 43.3; routing 100 %",
        "yes: this project, CPU, three seeds, both orders",
    ),
    "realstream_resnet50": Preset(
        "The same with a larger backbone: more of its shallow channels, for small defects; give its weights.",
        {**REALSTREAM, "backbone_name": "resnet50_v1", "embed_dim": 384, "channel_shares": "root",
         "patch_memory_shallow": [1.3, 0.5], "patch_memory_directions": [128, 96]},
        "image AUROC 95.5, pixel AP 40.6; routing 100 %",
        "yes: this project, CPU, three seeds, both orders",
    ),
    "measured": Preset(
        "The full method on three real products with equal, few steps a task: what documents/ablations.md measures.",
        {"dataset": "folder", "task_classes": ["screw", "magnetic_tile", "cookie"],
         "backbone_name": "tf_efficientnet_lite0", "img_size": 256, "lora_alpha": 64, "lr": 2e-3,
         "num_steps": 60, "batch_size": 8, "num_epochs": 1000, "tensorboard": False, "figures": False},
    ),
    **{name: Preset(f"From {version.parent or 'the full method'}: {version.sentence}.", flags_of(name),
                    version.reported) for name, version in VERSIONS.items()},
}  # fmt: skip


ALIASES: dict[str, str] = {
    "topk": "score_aggregation_top_k",
    "logdet_reg": "lambda_logdet",
    "scale_context_k": "scale_context_kernel",
    "learning_rate": "lr",
    "dia": "dia_n_blocks",
    "backbone": "backbone_name",
    "coupling_layers": "num_coupling_layers",
}
"""Spellings of older command lines -> today's flag."""

SHORTHANDS: dict[str, dict[Any, dict[str, Any]]] = {
    "train_shared_always": {True: {"base_policy": "always"}},
    "loss_type": {"nll": {"use_dsm": False}, "dsm": {"use_dsm": True, "dsm_mode": "dsm_only"}},
    "use_improved_dual_branch": {True: {"use_dual_branch": True, "dual_blend": "improved"}},
    "use_score_guided_dual": {True: {"use_dual_branch": True, "dual_blend": "guided"}},
}
"""Older flags that stand for several of today's: flag -> value -> flags."""
