"""A second view: another opinion on a task's patches, learned in closed form, fused with the flow's."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.scoring.fusion import FlowScores, Fused, Fusion
from moleflow.models.task import PerTask


class View(nn.Module, ABC):
    """Patch scores of a task without the flow, on a grid of its own that may be coarser than that of the features.

    Attributes:
        grid: (h, w) of the places it compares.
        counts: how much its opinion counts beside the flow's, which counts 1.
        is_energy: whether its scores grow with the square of a deviation, as a log-likelihood does.
    """

    is_energy = False

    def __init__(self, grid: tuple[int, int], counts: float = 1.0):
        super().__init__()
        self.grid = grid
        self.counts = counts

    def forward(self, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W), bilinear from the view's own grid; higher is more anomalous."""
        scores = self.judge(self.places(features), task).unflatten(1, self.grid)
        if features.shape[1:3] == self.grid:
            return scores
        size = (features.shape[1], features.shape[2])
        return F.interpolate(scores[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]

    def places(self, features: Tensor) -> Tensor:
        """Means over the cells of the view's grid, (B, H, W, D) -> (B, h·w, D)."""
        if features.shape[1:3] == self.grid:
            return features.flatten(1, 2)
        return F.adaptive_avg_pool2d(features.permute(0, 3, 1, 2), self.grid).flatten(2).transpose(1, 2)

    @abstractmethod
    def judge(self, places: Tensor, task: str) -> Tensor:
        """Scores of places, (B, h·w, D) -> (B, h·w)."""


TINY = 1e-12
"""Under a root, so that its gradient stays finite."""
FLOW, VIEWS = slice(0, 1), slice(1, None)
"""Which opinions are whose."""


class Scale(nn.Module):
    """Brings opinions to one scale: s_i ← n_i·(d_i − m_i)/σ_i with d_i = √(s_i − floor_i) for energies, else s_i.

    floor_i is the lowest, m_i the mean and σ_i the standard deviation over the patches of held-out normal images, all
    (opinions,) in float64. The root turns energies into distances: a Gaussian's energy is half a squared one, and
    unrooted the longest tail would outvote the others.

    Args:
        counts: n_i of each opinion.
        energies: which opinions are energies.
    """

    floor: Tensor
    mean: Tensor
    weight: Tensor
    learned: Tensor

    def __init__(self, counts: Sequence[float], energies: Sequence[bool]):
        super().__init__()
        self.counts = tuple(counts)
        self.energies = tuple(energies)
        for name in ("floor", "mean", "weight"):
            self.register_buffer(name, torch.zeros(len(counts), dtype=torch.float64))
        self.register_buffer("learned", torch.zeros((), dtype=torch.bool))

    def learn(self, scores: Tensor) -> None:
        """Learn from the scores (opinions, patches) of held-out normal images."""
        self.floor.copy_(scores.amin(1))
        distances = self._distances(scores.double())
        self.mean.copy_(distances.mean(1))
        self.weight.copy_(distances.new_tensor(self.counts) / distances.std(1).clamp_min(1e-6))
        self.learned.fill_(True)

    def forward(self, scores: Tensor, which: slice = slice(None)) -> Tensor:
        """n_i·(d_i − m_i)/σ_i of all opinions or of some, (opinions, …) -> (opinions, …)."""
        distances = self._distances(scores, which)
        return (distances - _for(scores, self.mean[which])) * _for(scores, self.weight[which])

    def _distances(self, scores: Tensor, which: slice = slice(None)) -> Tensor:
        energies = self.energies[which]
        if not any(energies):
            return scores
        roots = (scores - _for(scores, self.floor[which])).clamp_min(TINY).sqrt()
        return torch.where(_for(scores, self.floor.new_tensor(energies)) > 0, roots, scores)


def _for(scores: Tensor, values: Tensor) -> Tensor:
    """Values (opinions,) in the type of scores (opinions, …) and ready to broadcast with them."""
    return values.to(scores).reshape(-1, *[1] * (scores.dim() - 1))


class FusedViews(Fusion):
    """The flow's score and each view's, on one scale per task (``Scale``) and summed.

    The scale is that of held-out normal patches, so no opinion counts more because its numbers are larger. All opinions
    say whether an image is anomalous, and where it is say those that draw the map (V4): a coarse one finds what a fine
    one overlooks, and blurs it. While the expert trains, and where nothing was held out, the flow's score passes alone.

    Where the views draw the map, the flow can be asked about few patches only (V5), those that the views find most
    unusual; the others count as average ones to it, 0. An image's score hangs on its most unusual patches.

    Args:
        views: the opinions beside the flow's.
        drawn_by: numbers of the opinions (the flow's is 0) that draw the map; None: all.
        flow_share: share of an image's patches that the flow judges, at least one.
    """

    def __init__(self, views: Sequence[View], drawn_by: Sequence[int] | None = None, flow_share: float = 1.0):
        super().__init__()
        self.views = nn.ModuleList(views)
        self.drawn_by = drawn_by
        self.flow_share = flow_share
        counts, energies = [1.0, *(view.counts for view in views)], [True, *(view.is_energy for view in views)]
        self.scales = PerTask(lambda task: Scale(counts, energies))

    @property
    def asks_all(self) -> bool:
        """Whether the flow is asked about every patch (V5)."""
        return self.flow_share == 1

    @contextmanager
    def asking_all(self) -> Iterator[None]:
        """Ask the flow about every patch meanwhile."""
        share, self.flow_share = self.flow_share, 1.0
        try:
            yield
        finally:
            self.flow_share = share

    def forward(self, flow: FlowScores, features: Tensor, task: str) -> Fused:
        """Scores of the flow and the features (B, H, W, D) they are of."""
        scale = self.scales[task]
        if not scale.learned:
            scores = flow()
            return Fused(scores, scores)
        views = scale(self._seen(features, task), VIEWS)  # (views, B, H, W)
        opinions = torch.cat([self._of_flow(flow, scale, views.sum(0))[None], views])  # (opinions, B, H, W)
        whether = opinions.sum(0)
        return Fused(whether if self.drawn_by is None else opinions[list(self.drawn_by)].sum(0), whether)

    def _of_flow(self, flow: FlowScores, scale: Scale, unusual: Tensor) -> Tensor:
        """The flow's opinion where it is asked for it, 0 elsewhere, (B, H, W)."""
        if self.asks_all:
            return scale(flow()[None], FLOW)[0]
        of_all = unusual.flatten(1)
        asked = of_all.topk(max(1, round(self.flow_share * of_all.shape[1])), dim=1).indices  # (B, K)
        return torch.zeros_like(of_all).scatter(1, asked, scale(flow(asked)[None], FLOW)[0]).view_as(unusual)

    def learn_from_held_out(self, task: Task, held_out: Batches, model: MoLEFlow) -> None:
        """Learn the scales, if there are held-out images."""
        opinions = [
            self._opinions(model.scorer(model, batch.features, task.name), batch.features, task.name).flatten(1)
            for batch in held_out()
        ]
        if opinions:
            self.scales[task.name].learn(torch.cat(opinions, dim=1))

    def _opinions(self, scores: Tensor, features: Tensor, task: str) -> Tensor:
        return torch.cat([scores[None], self._seen(features, task)])

    def _seen(self, features: Tensor, task: str) -> Tensor:
        """What the views see, (views, B, H, W)."""
        seen = features.detach()  # they learn nothing by gradient, and a distance has none at its root
        return torch.stack([view(seen, task) for view in self.views])
