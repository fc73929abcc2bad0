"""R: which expert looks at an image."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class TiedRouter:
    """R5: Mahalanobis distance under one Ledoit–Wolf covariance pooled over tasks."""


@dataclass(frozen=True)
class PerTaskRouter:
    """R1: Mahalanobis distance under each task's own Ledoit–Wolf covariance."""


@dataclass(frozen=True)
class EuclideanRouter:
    """R2: nearest prototype."""


@dataclass(frozen=True)
class OracleRouter:
    """R3: the true task is given."""


@dataclass(frozen=True)
class HybridRouter:
    """R4: the nearest prototypes (as R5) are compared by likelihood, which is not on one scale between tasks."""

    top_k: int = knob(2, "Tasks that the prototypes leave to the likelihood.", "router_top_k", low=1)


@dataclass(frozen=True)
class ClosedSet:
    """Every image belongs to one of the tasks."""


@dataclass(frozen=True)
class Reject:
    """R6: images farther from every prototype than held-out normals are called unknown."""

    rate: float = knob(
        0.01,
        "Share of known normal images that may be called unknown.",
        "router_reject_rate",
        low=0,
        high=1,
        selects=True,
    )
