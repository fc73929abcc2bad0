"""Named settings, as data: presets, with the published number beside each, and the ablation rows.

Keys are the command line's flags. ``verified`` stays "no" until a run on the real dataset has reached the number.
"""

from dataclasses import dataclass, field
from typing import Any


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
        {**SMALL, "dataset": "folder", "backbone_name": "tf_efficientnet_lite0", "feature_grid": 32, "batch_size": 8,
         "num_epochs": 15, "num_steps": 300, "lr": 2e-3, "dia_n_blocks": 2},
        "lite0: image AUROC 90.3, pixel AP 25.4; resnet50_v1: 90.6 / 22.1; routing 100 %",
        "yes: this project, two CPU cores, seed 0",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Ablation:
    """One row of the ablation table: its title and the flags in which it differs from the full method."""

    title: str
    flags: dict[str, Any]


ABLATIONS: dict[str, Ablation] = {
    "wo_lora": Ablation("without LoRA", {"use_lora": False}),
    "wo_router": Ablation("without router (task given)", {"router": "oracle"}),
    "wo_scale_ctx": Ablation("without scale context", {"use_scale_context": False}),
    "wo_spatial_ctx": Ablation("without spatial mixer", {"use_spatial_context": False}),
    "wo_pos_embed": Ablation("without position", {"use_pos_embed": False}),
    "wo_adapter": Ablation("without whitening adapter", {"adapter_mode": "none"}),
    "wo_dia": Ablation("without DIA", {"use_dia": False}),
    "wo_tail": Ablation("without tail-aware loss", {"use_tail_aware_loss": False}),
    "wo_logdet_reg": Ablation("without log-det penalty", {"use_logdet_reg": False}),
    "all_shared": Ablation("everything shared, trained always", {"use_lora": False, "base_policy": "always"}),
}

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
