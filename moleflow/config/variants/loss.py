"""L and O: what is minimised, and what protects shared weights that keep training."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class TailAwareLoss:
    """L2: the mean NLL blended with the mean over each image's worst patches."""

    weight: float = knob(0.7, "Weight w of the tail.", "tail_weight", low=0, high=1)
    top_ratio: float = knob(0.02, "Share of an image's patches that is its tail.", "tail_top_k_ratio", low=0, high=1)


@dataclass(frozen=True)
class FocalLoss:
    """L4: patches are weighted by (1 − exp(−NLL/D))^γ."""

    gamma: float = knob(2.0, "Exponent γ of the focal weight.", "focal_gamma", low=0, selects=True)


@dataclass(frozen=True)
class MeanLoss:
    """L1: mean NLL over patches."""


@dataclass(frozen=True)
class LogDetPenalty:
    """L3: λ·mean(log-det²)."""

    weight: float = knob(1e-4, "λ of the log-det penalty.", "lambda_logdet", low=0)


@dataclass(frozen=True)
class NoLogDetPenalty:
    """The log-det is free."""


@dataclass(frozen=True)
class CenterLoss:
    """L5: λ·mean‖z‖²."""

    weight: float = knob(0.05, "λ of the centre loss.", "center_loss_weight", low=0, selects=True)


@dataclass(frozen=True)
class NoCenterLoss:
    """Latents are drawn to the centre by the likelihood alone."""


@dataclass(frozen=True)
class Dsm:
    """L6: denoising score matching at the flow's input, alone or blended with the likelihood loss."""

    mode: str = knob("hybrid", "What is minimised.", "dsm_mode", choices=("hybrid", "dsm_only", "nll_only"))
    alpha: float = knob(0.5, "Share of the likelihood loss in the hybrid.", "dsm_alpha", low=0, high=1)
    alpha_end: float | None = knob(None, "Its share at the end of a task (default: as at the start).", low=0, high=1,
                                   flag="dsm_alpha_end")  # fmt: skip
    sigma_min: float = knob(0.01, "Smallest noise.", "dsm_sigma_min", low=1e-6)
    sigma_max: float = knob(1.0, "Largest noise.", "dsm_sigma_max", low=1e-6)
    projections: int = knob(1, "Random directions of the sliced form.", "dsm_n_projections", low=1)
    sliced: bool = knob(False, "Match the score along random directions only.", "dsm_use_sliced")
    noise_mode: str = knob(
        "geometric", "How σ is drawn between its bounds.", "dsm_noise_mode", choices=("geometric", "uniform", "fixed")
    )
    clean_penalty: float = knob(0.0, "Weight of ‖∇log p‖² on clean features.", "dsm_clean_penalty", low=0)


@dataclass(frozen=True)
class NoDsm:
    """Likelihood alone."""


@dataclass(frozen=True)
class PseudoMargin:
    """L7: corrupted features must score a margin above normal ones."""

    weight: float = knob(0.1, "Weight of the margin on pseudo-anomalies.", "pseudo_margin_weight", low=0, selects=True)
    margin: float = knob(1.0, "Margin between the image scores, in nats per channel.", "pseudo_margin", low=0)


@dataclass(frozen=True)
class NoPseudoMargin:
    """No pseudo-anomalies."""


@dataclass(frozen=True)
class Ogp:
    """O1: updates of shared weights lose their components along directions that older tasks used."""

    threshold: float = knob(0.99, "Share of gradient energy that is protected.", "ogp_threshold", low=0, high=1)
    max_rank: int = knob(50, "Most directions a task protects in a parameter.", "ogp_max_rank", low=1)
    samples: int = knob(300, "Images whose gradients are taken.", "ogp_n_samples", low=1)


@dataclass(frozen=True)
class Ewc:
    """O2: shared weights are pulled to their old values, by Fisher information."""

    strength: float = knob(1000.0, "Strength λ of the pull.", "ewc_lambda", low=0)


@dataclass(frozen=True)
class Replay:
    """O3: a bank of old tasks' features is shown again."""

    per_task: int = knob(16, "Images' features kept of each task.", "replay_per_task", low=1)
    weight: float = knob(1.0, "Weight of the replayed loss.", "replay_weight", low=0)


@dataclass(frozen=True)
class Distillation:
    """O4: latents stay near those of the model before the task."""

    weight: float = knob(1.0, "Weight of the distance.", "distillation_weight", low=0)


@dataclass(frozen=True)
class NoProtector:
    """Shared weights that learn are free to forget."""
