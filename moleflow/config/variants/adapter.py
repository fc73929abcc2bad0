"""A and D: the task's adapters before and after the flow."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class WhiteningAdapter:
    """A1: layer norm, then a bounded per-channel scale and shift of the task's own."""

    logdet: bool = knob(True, "Count the scale in the log-determinant.", "adapter_logdet")
    identity_pull: float = knob(
        0.1, "Weight that pulls the first task's scale to 1 and shift to 0.", "adapter_identity_pull", low=0
    )


@dataclass(frozen=True)
class WhiteningNoNorm:
    """A2: the same without layer norm."""

    logdet: bool = knob(True, "Count the scale in the log-determinant.", "adapter_logdet")
    identity_pull: float = knob(
        0.1, "Weight that pulls the first task's scale to 1 and shift to 0.", "adapter_identity_pull", low=0
    )


@dataclass(frozen=True)
class FilmAdapter:
    """A3: per-channel scale and shift, then a residual perceptron behind a gate."""

    norm: bool = knob(False, "Layer norm before FiLM.", "film_layer_norm")


@dataclass(frozen=True)
class InstanceNormAdapter:
    """A4: instance norm moved to the first task's mean and spread, and a gated perceptron."""


@dataclass(frozen=True)
class ZcaAdapter:
    """A6: the task's own shrunk ZCA whitening, in closed form before training."""

    shrinkage: float = knob(
        0.1, "Share of the mean variance in the covariance's diagonal.", "zca_shrinkage", low=1e-4, high=1
    )


@dataclass(frozen=True)
class NoAdapter:
    """A5: features enter the flow as they are."""


@dataclass(frozen=True)
class Dia:
    """D1: coupling blocks of the task's own after the flow, starting as the identity."""

    blocks: int | None = knob(
        4, "Coupling blocks of the invertible adapter (auto: 2 to 6, by held-out likelihood).", "dia_n_blocks", low=1
    )
    hidden_ratio: float = knob(0.5, "Hidden width of its nets as a share of D.", "dia_hidden_ratio", low=0.01)


@dataclass(frozen=True)
class NoDia:
    """The flow's output is the latent."""
