"""L1: the mean negative log-likelihood of patches."""

from torch import Tensor

from moleflow.losses.terms import LossTerm, Step


class MeanNll(LossTerm):
    """mean over images and patches of ½‖z‖² − log|det| + D/2·log 2π, in nats."""

    name = "nll"

    def __call__(self, step: Step) -> Tensor:
        """A scalar."""
        return step.latent.nll.mean()
