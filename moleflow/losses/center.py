"""L5: the centre loss, which draws latents to the origin."""

from torch import Tensor

from moleflow.losses.terms import LossTerm, Step
from moleflow.models.stages import at_least_float32


class CenterLoss(LossTerm):
    """λ·mean over patches of ‖z‖², summed over channels.

    Args:
        weight: λ.
    """

    name = "center"

    def __init__(self, weight: float):
        self.weight = weight

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return self.weight * at_least_float32(step.latent.z).square().sum(-1).mean()
