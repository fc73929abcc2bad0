"""L2: the tail-aware likelihood, which listens to each image's least likely patches."""

from collections.abc import Iterable

from torch import Tensor

from moleflow.losses.terms import LossTerm
from moleflow.models.stages import Latent


class TailAwareNll(LossTerm):
    """(1 − w)·mean + w·mean of the k = max(1, ⌊ρN⌋) largest patch NLLs of each image.

    Args:
        weight: w in 0..1.
        top_ratio: ρ, the share of an image's N patches that is its tail.
    """

    name = "tail_nll"

    def __init__(self, weight: float, top_ratio: float):
        self.weight = weight
        self.top_ratio = top_ratio

    def __call__(self, latent: Latent, penalties: Iterable[Tensor]) -> Tensor:
        """A scalar, in nats."""
        nll = latent.nll.flatten(1)
        k = max(1, int(self.top_ratio * nll.shape[1]))
        tail = nll.topk(k, dim=1).values.mean()
        return (1 - self.weight) * nll.mean() + self.weight * tail
