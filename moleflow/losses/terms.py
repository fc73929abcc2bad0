"""The contract of a loss term; a loss is a list of terms, summed."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.stages import Latent


class Step(NamedTuple):
    """What a loss term may look at in one step of training.

    Attributes:
        model: the model that learns.
        task: the task it learns.
        features: the batch, (B, H, W, D).
        latent: what the data path gave for it.
        progress: share of the task's steps that are done, 0..1.
        generator: source of the step's random numbers on the CPU, seeded by (seed, the task's name).
    """

    model: MoLEFlow
    task: Task
    features: Tensor
    latent: Latent
    progress: float
    generator: torch.Generator


class LossTerm(ABC):
    """One summand of the loss.

    Attributes:
        name: under which it is logged.
    """

    name: str

    @abstractmethod
    def __call__(self, step: Step) -> Tensor:
        """The term's value, a scalar."""


class PartPenalties(LossTerm):
    """L8: the sum of what parts ask of their own parameters."""

    name = "penalties"

    def __call__(self, step: Step) -> Tensor:
        """Σ penalties, a scalar."""
        return sum(step.model.penalties(step.task), torch.zeros((), device=step.latent.z.device))
