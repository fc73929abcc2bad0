"""L4: the focal likelihood, which listens to patches that are not yet likely."""

import torch
from torch import Tensor

from moleflow.losses.terms import LossTerm, Step


class FocalNll(LossTerm):
    """mean over patches of w·NLL with w = (1 − exp(−max(NLL/D, 0)))^γ, after the focal loss (Lin et al. 2017).

    The exponent takes the NLL per dimension, clamped at 0: of the whole NLL every weight would be 1, of a negative
    one NaN. A patch that is likelier than e⁰ per dimension has weight 0. The weight says which patches count and is no
    path for gradients (at 0 its slope is infinite for γ < 1): the gradient is mean of w·∇NLL.

    Args:
        gamma: γ; 0 gives the mean NLL.
    """

    name = "focal_nll"

    def __init__(self, gamma: float):
        self.gamma = gamma

    def __call__(self, step: Step) -> Tensor:
        """A scalar, in nats."""
        nll = step.latent.nll
        per_dimension = nll.detach() / step.latent.z.shape[-1]
        weight = -torch.expm1(-per_dimension.clamp_min(0))
        return (weight**self.gamma * nll).mean()
