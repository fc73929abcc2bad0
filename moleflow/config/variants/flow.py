"""F: the shared flow, its subnets, and what of it belongs to a task."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class Flow:
    """F1: clamped affine coupling blocks on patch vectors, shared by all tasks."""

    layers: int = knob(8, "Coupling blocks.", "num_coupling_layers", low=1)
    clamp: float = knob(1.9, "Bound c of the log-scale s ← c·tanh(s/c).", "coupling_clamp", low=0.01)
    base_policy: str = knob(
        "first",
        "When the shared flow learns: in the first task, in every task, or before the stream (then frozen).",
        choices=("first", "always", "pretrained"),
    )
    spectral_norm: bool = knob(
        False,
        "F9: shared subnet weights are divided by their largest singular value where it is above 1.",
        "use_spectral_norm",
    )


@dataclass(frozen=True)
class Shared:
    """Position, context and flow are shared by all tasks."""


@dataclass(frozen=True)
class Separated:
    """F7: context and flow are the task's own: an upper bound, nothing is shared but the backbone."""


@dataclass(frozen=True)
class FastOnly:
    """A task ends with the training of its expert."""


@dataclass(frozen=True)
class SlowStage:
    """F13: then the last shared blocks move a little: breaks isolation, and says so."""

    epochs: int = knob(0, "Epochs of the slow stage after each later task.", "slow_epochs", low=0, selects=True)
    lr_ratio: float = knob(0.1, "Its learning rate as a share of --lr.", "slow_lr_ratio", low=0)
    last_blocks: int = knob(2, "Shared coupling blocks that move, from the last.", "slow_last_blocks", low=1)


@dataclass(frozen=True)
class ScaleContextSubnet:
    """F3: the log-scale also sees α times the passive half's neighbourhood."""

    hidden_ratio: float = knob(1.0, "Hidden width of a subnet as a share of D.", "subnet_hidden_ratio", low=0.01)
    kernel: int = knob(5, "Neighbourhood of the scale's context, odd.", "scale_context_kernel", low=1)
    init_scale: float = knob(0.1, "First value of α.", "scale_context_init_scale", low=0)
    max_alpha: float = knob(0.2, "Upper bound of α.", "scale_context_max_alpha", low=1e-6)
    freeze: bool = knob(
        True,
        "Freeze the neighbourhood's convolution with the flow (else it learns in every task).",
        "freeze_scale_context",
    )


@dataclass(frozen=True)
class GatedContextSubnet:
    """F4: as F3, with a gate for each patch instead of one α."""

    hidden_ratio: float = knob(1.0, "Hidden width of a subnet as a share of D.", "subnet_hidden_ratio", low=0.01)
    kernel: int = knob(5, "Neighbourhood of the scale's context, odd.", "scale_context_kernel", low=1)
    gate_hidden: int = knob(64, "Hidden width of the gate.", "context_gate_hidden", low=1)
    max_alpha: float = knob(0.2, "Upper bound of α.", "scale_context_max_alpha", low=1e-6)


@dataclass(frozen=True)
class CpcfSubnet:
    """F11: log-scale and shift see the passive half and a blend with its neighbourhood."""

    hidden_ratio: float = knob(1.0, "Hidden width of a subnet as a share of D.", "subnet_hidden_ratio", low=0.01)
    kernel: int = knob(3, "Neighbourhood of the context, odd.", "cpcf_context_kernel", low=1)
    mode: str = knob("mean", "The neighbourhood's mean, or learned weights.", "cpcf_mode", choices=("mean", "learned"))
    attention: bool = knob(False, "Weigh neighbours by attention instead.", "cpcf_use_attention")


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
class SpatialLora:
    """F10: SC-LoRA, deltas on a G×G grid of places, bilinearly interpolated."""

    rank: int = knob(64, "Rank of the task's deltas.", "lora_rank", low=1)
    alpha: float = knob(1.0, "α of the delta's scale.", "lora_alpha", low=0)
    scaling: str = knob(
        "alpha_over_r", "The delta's scale: α/r or α/2r.", "lora_scaling", choices=("alpha_over_r", "alpha_over_2r")
    )
    in_task0: bool = knob(True, "The first task has deltas too.", "lora_in_task0")
    task_bias: bool = knob(True, "A bias of the task's own beside the delta.", "task_bias")
    grid_size: int = knob(4, "Side G of the grid of deltas.", "sc_lora_grid_size", low=1)


@dataclass(frozen=True)
class FullDelta:
    """F6: every subnet linear gets a full delta per task instead of a low-rank one."""

    in_task0: bool = knob(True, "The first task has deltas too.", "lora_in_task0")
    task_bias: bool = knob(True, "A bias of the task's own beside the delta.", "task_bias")


@dataclass(frozen=True)
class NoLora:
    """Subnets are the same for every task."""
