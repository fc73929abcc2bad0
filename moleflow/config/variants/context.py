"""X: context before the flow."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class SpatialMixer:
    """X1: depthwise k×k and pointwise convolution behind a residual gate, shared."""

    kernel: int = knob(3, "Kernel of the spatial mixer, odd.", "spatial_context_kernel", low=1)
    freeze: bool = knob(
        True, "Freeze the mixer after the first task (else it learns in every task).", "freeze_spatial_mixer"
    )


@dataclass(frozen=True)
class MultiScaleContext:
    """X2: parallel depthwise convolutions of dilation 1, 2 and 4, fused, behind a gate."""


@dataclass(frozen=True)
class TaskMultiScaleContext:
    """X3: X2 with a gate and scales of the task's own."""


@dataclass(frozen=True)
class PatchAttention:
    """X4: one head of self-attention over the patches and a perceptron, behind a gate from 0."""


@dataclass(frozen=True)
class TaskAdaptiveMixer:
    """X5: the mixer of X1 with a gate, scale and bias of the task's own."""

    kernel: int = knob(3, "Kernel of the spatial mixer, odd.", "spatial_context_kernel", low=1)


@dataclass(frozen=True)
class GlobalContext:
    """X6: attention from every patch to region means, behind a gate."""

    regions: int = knob(4, "Regions along each side of the grid.", "global_context_regions", low=1)


@dataclass(frozen=True)
class SemanticProjector:
    """X7: a per-patch encoder and a permutation-invariant code of the image, behind a gate."""

    bottleneck_ratio: float = knob(0.5, "Width of the code as a share of D.", "semantic_bottleneck_ratio", low=0.01)


@dataclass(frozen=True)
class NoContext:
    """Patches enter the flow without their neighbours."""
