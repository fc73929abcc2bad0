"""L7: a margin between the scores of normal features and of synthetic anomalies."""

import torch
from torch import Tensor

from moleflow.losses.pseudo_anomalies import corrupt
from moleflow.losses.terms import LossTerm, Step


class PseudoMargin(LossTerm):
    """w·mean over images of relu(m·D + s(x) − s(x̂)), x̂ the features x with a synthetic anomaly.

    s is the image score by the whole scoring path, so that its learned parts (fusion weights, attention) learn here:
    the likelihood of normal features alone tells them nothing.

    Args:
        weight: w.
        margin: m, in nats per channel.
    """

    name = "pseudo_margin"

    def __init__(self, weight: float, margin: float):
        self.weight = weight
        self.margin = margin

    def __call__(self, step: Step) -> Tensor:
        """A scalar, in nats."""
        both = torch.cat([step.features, corrupt(step.features, step.generator).features])
        normal, pseudo = step.model.score_as(both, step.task.name).images.chunk(2)
        return self.weight * torch.relu(self.margin * step.features.shape[-1] + normal - pseudo).mean()
