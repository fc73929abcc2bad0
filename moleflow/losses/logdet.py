"""L3: the log-det penalty."""

from collections.abc import Iterable

from torch import Tensor

from moleflow.losses.terms import LossTerm
from moleflow.models.stages import Latent


class LogDetPenalty(LossTerm):
    """λ·mean over patches of (flow + DIA log|det|)², not divided by D.

    Args:
        weight: λ.
    """

    name = "logdet_penalty"

    def __init__(self, weight: float):
        self.weight = weight

    def __call__(self, latent: Latent, penalties: Iterable[Tensor]) -> Tensor:
        """A scalar."""
        return self.weight * latent.flow_logdet.square().mean()
