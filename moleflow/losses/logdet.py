"""L3: the log-det penalty."""

from torch import Tensor

from moleflow.losses.terms import LossTerm, Step


class LogDetPenalty(LossTerm):
    """λ·mean over patches of (flow + DIA log|det|)², not divided by D.

    Args:
        weight: λ.
    """

    name = "logdet_penalty"

    def __init__(self, weight: float):
        self.weight = weight

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return self.weight * step.latent.flow_logdet.square().mean()
