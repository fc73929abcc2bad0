"""L1: the mean negative log-likelihood of patches."""

from collections.abc import Iterable

from torch import Tensor

from moleflow.losses.terms import LossTerm
from moleflow.models.stages import Latent


class MeanNll(LossTerm):
    """mean over images and patches of ½‖z‖² − log|det| + D/2·log 2π, in nats."""

    name = "nll"

    def __call__(self, latent: Latent, penalties: Iterable[Tensor]) -> Tensor:
        """A scalar."""
        return latent.nll.mean()
