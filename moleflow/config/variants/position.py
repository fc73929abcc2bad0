"""P: where a patch lies."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class SinCosPosition:
    """P1: a fixed 2-D sine-cosine grid is added to the features."""


@dataclass(frozen=True)
class RelativePosition:
    """P2: attention with a learned bias for each offset, blended by a gate; shared, learns in the first task."""

    max_distance: int = knob(
        7, "Largest offset (in patches) with a bias of its own.", "relative_position_max_dist", low=1
    )


@dataclass(frozen=True)
class TapePosition:
    """P3: the grid of P1, scaled by a gate of the task's own, σ(g)."""

    init_value: float = knob(0.0, "First value of the gate's logit g.", "tape_init_value")
    lr_multiplier: float = knob(100.0, "Factor of the gate's learning rate.", "tape_lr_multiplier", low=0)


@dataclass(frozen=True)
class ContentPosition:
    """P4: the code of a patch is decided by the prototype it is nearest to, not by its place."""

    prototypes: int = knob(
        64, "Prototypes in the codebook, from the first task's features.", "position_prototypes", low=1
    )


@dataclass(frozen=True)
class HybridPosition:
    """P4: half the grid's code, half the content's."""

    prototypes: int = knob(
        64, "Prototypes in the codebook, from the first task's features.", "position_prototypes", low=1
    )


@dataclass(frozen=True)
class ConditionalPosition:
    """P6: features stay as they are; the flow's subnets are told where their patch is."""

    channels: int = knob(32, "Length of the position code, a multiple of 4.", "position_channels", low=4)


@dataclass(frozen=True)
class NoPosition:
    """No position is added."""
