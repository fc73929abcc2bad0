"""A4: instance norm (Ulyanov et al. 2016) moved to the first task's mean and spread, and a gated perceptron."""

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.adapters.moments import patch_mean, patch_variance
from moleflow.models.adapters.residual import GatedPerceptron
from moleflow.models.stages import Stage, at_least_float32
from moleflow.models.task import PerTask
from moleflow.utils.errors import MoleflowError

EPSILON = 1e-5
"""Added to an image's variance."""


class InstanceNormAdapter(Stage):
    """std₁ ⊙ perceptron_t(IN(x)) + mean₁, with IN the instance norm of each channel over the image's grid.

    mean₁ and std₁ are those of the first task's patches, position included: every task enters the flow where the
    first one did. They are learned once, when the first task starts, are shared, and belong to the base; a base
    that is trained before the stream sets them, and the first task then leaves them as they are.

    No bijection (an image's own mean and spread are lost), so log|det| is 0: what the perceptron shrinks goes
    unnoticed, and likelihoods of different tasks are not on one scale.

    Args:
        dim: channels D.
    """

    mean: Tensor
    std: Tensor
    known: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.perceptron = PerTask(lambda task: GatedPerceptron(dim, max(1, dim // 4)))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.register_buffer("known", torch.tensor(False))

    def start_task(self, task: Task, batches: Batches) -> None:
        """Learn mean₁ and std₁ if nothing came before this task.

        Raises:
            MoleflowError: they are unknown, and this is not the task they come from.
        """
        if self.known:
            return
        if not (task.is_first or task.is_before_stream):
            raise MoleflowError(
                f"Task {task.name!r} expects the first task's mean and spread, and there are none: train the first "
                "task before it, or load the base."
            )
        mean = patch_mean(batches)
        self.mean.copy_(mean)
        self.std.copy_(patch_variance(batches, mean).sqrt())
        self.known.fill_(True)

    def forward(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """(B, H, W, D) -> (B, H, W, D) and zeros (B, H, W)."""
        y = self.std * self.perceptron[task](instance_norm(x)) + self.mean
        return y, y.new_zeros(y.shape[:-1])


def instance_norm(x: Tensor) -> Tensor:
    """(x − mean)/√(variance + ε) of each image and channel over the grid: (B, H, W, D) -> (B, H, W, D)."""
    x = at_least_float32(x)
    variance, mean = torch.var_mean(x, dim=(1, 2), keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + EPSILON)
