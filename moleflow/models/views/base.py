"""A second view: another opinion on a task's patches, learned in closed form, fused with the flow's."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.scoring.scorer import ScoreMapping
from moleflow.models.task import PerTask


class View(nn.Module, ABC):
    """Patch scores of a task without the flow."""

    @abstractmethod
    def forward(self, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W); higher is more anomalous."""


class Scale(nn.Module):
    """Mean and spread of each opinion's scores over the patches of held-out normal images, (opinions,), float64.

    Until they are learned only the first opinion, the flow's, counts.
    """

    mean: Tensor
    weight: Tensor

    def __init__(self, opinions: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(opinions, dtype=torch.float64))
        self.register_buffer("weight", torch.eye(opinions, dtype=torch.float64)[0])

    def learn(self, scores: Tensor) -> None:
        """Take mean and one over the standard deviation of (opinions, patches)."""
        self.mean.copy_(scores.double().mean(1))
        self.weight.copy_(1 / scores.double().std(1).clamp_min(1e-6))

    def forward(self, scores: Tensor) -> Tensor:
        """Σ_i (s_i − m_i)·w_i, (opinions, …) -> (…)."""
        shape = (-1, *[1] * (scores.dim() - 1))
        mean, weight = self.mean.to(scores).reshape(shape), self.weight.to(scores).reshape(shape)
        return ((scores - mean) * weight).sum(0)


class FusedViews(ScoreMapping):
    """s ← Σ over opinions of (s_i − m_i)/σ_i: the flow's score and each view's, on one scale per task.

    m_i and σ_i are those of held-out normal patches, so no opinion counts more because its numbers are larger. While
    the expert trains, and where nothing was held out, the flow's score passes alone.

    Args:
        views: the opinions beside the flow's.
    """

    def __init__(self, views: Sequence[View]):
        super().__init__()
        self.views = nn.ModuleList(views)
        self.scales = PerTask(lambda task: Scale(1 + len(views)))

    def forward(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        """Scores of the flow (B, H, W) and the features they are of (B, H, W, D) -> (B, H, W)."""
        return self.scales[task](self._opinions(scores, features, task))

    def learn_from_held_out(self, task: Task, held_out: Batches, model: MoLEFlow) -> None:
        """Learn the scales, if there are held-out images."""
        opinions = [
            self._opinions(model.scorer(model, batch.features, task.name), batch.features, task.name).flatten(1)
            for batch in held_out()
        ]
        if opinions:
            self.scales[task.name].learn(torch.cat(opinions, dim=1))

    def _opinions(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        seen = features.detach()  # views learn nothing by gradient, and a distance has none at its root
        return torch.stack([scores, *(view(seen, task) for view in self.views)])
