"""The contract of a loss term; a loss is a list of terms, summed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

from moleflow.models.stages import Latent


class LossTerm(ABC):
    """One summand of the loss.

    Attributes:
        name: under which it is logged.
    """

    name: str

    @abstractmethod
    def __call__(self, latent: Latent, penalties: Iterable[Tensor]) -> Tensor:
        """The term's value, a scalar.

        Args:
            latent: what the data path gave for the batch.
            penalties: what parts ask of their own parameters.
        """


class PartPenalties(LossTerm):
    """L8: the sum of what parts ask of their own parameters."""

    name = "penalties"

    def __call__(self, latent: Latent, penalties: Iterable[Tensor]) -> Tensor:
        """Σ penalties, a scalar."""
        return sum(penalties, torch.zeros((), device=latent.z.device))
