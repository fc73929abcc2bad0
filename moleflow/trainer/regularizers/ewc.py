"""O2: elastic weight consolidation (Kirkpatrick et al. 2017), online (Schwarz et al. 2018)."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.trainer.regularizers.gradients import chosen_images, per_image_gradients

SAMPLES = 300
"""Most images of a task whose gradients are taken."""


class ElasticConsolidation(Protector):
    """O2: λ/2·Σ F·(θ − θ*)², with θ* the shared weights before the task and F their summed diagonal Fisher.

    F is the sum over older tasks of the mean over images of (∂ mean NLL/∂θ)², so one anchor serves all of them.

    Args:
        strength: λ.
        seed: seed of the choice of images.
    """

    def __init__(self, strength: float, seed: int):
        self.strength = strength
        self.seed = seed
        self.fisher: dict[str, Tensor] = {}
        self._held: list[tuple[nn.Parameter, Tensor, Tensor]] = []

    def begin(self, model: MoLEFlow, task: Task) -> None:
        """Remember where the weights are."""
        weights = dict(model.named_parameters())
        self._held = [
            (weights[name], weights[name].detach().clone(), fisher.to(weights[name].device))
            for name, fisher in self.fisher.items()
        ]

    def loss(self, step: Step) -> Tensor:
        """The pull, a scalar."""
        pulls = [(fisher * (weight - anchor).square()).sum() for weight, anchor, fisher in self._held]
        return 0.5 * self.strength * sum(pulls, super().loss(step))

    def end(self, learned: Learned) -> None:
        """Add the task's Fisher information."""
        images = chosen_images(len(learned.normal), SAMPLES, self.seed, learned.task.name, "ewc")
        weights = [learner.parameter for learner in learned.shared]
        sums = [torch.zeros_like(weight) for weight in weights]
        nll = lambda features: learned.model.likelihood(features, learned.task.name).nll.mean()
        for gradients in per_image_gradients(nll, weights, learned.normal, images):
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient.square() / len(images)
        for learner, total in zip(learned.shared, sums, strict=True):
            known = self.fisher.get(learner.name)
            self.fisher[learner.name] = total if known is None else known.to(total.device) + total

    def state(self) -> dict[str, Tensor]:
        """The Fisher information of each weight, in its shape."""
        return dict(self.fisher)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the Fisher information."""
        self.fisher = dict(state)
