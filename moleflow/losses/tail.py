"""L2: the tail-aware likelihood, which listens to each image's least likely patches."""

from torch import Tensor

from moleflow.losses.terms import LossTerm, Step


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

    def __call__(self, step: Step) -> Tensor:
        """A scalar, in nats."""
        nll = step.latent.nll.flatten(1)
        k = max(1, int(self.top_ratio * nll.shape[1]))
        tail = nll.topk(k, dim=1).values.mean()
        return (1 - self.weight) * nll.mean() + self.weight * tail
