"""V3: distance to a small memory of the task's normal patches (PatchCore, Roth et al. 2022)."""

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.task import PerTask
from moleflow.models.views.base import View

CANDIDATES, PROJECTION = 40_000, 64
"""Patches the memory is chosen from, at most, and channels of the random projection it is chosen in."""
IMAGES_AT_ONCE = 8
AT_ONCE = {"cpu": 512}
"""Patches whose distances are taken together, where fewer than an image's are faster: they stay in the caches."""


def rooted(features: Tensor) -> Tensor:
    """sign(x)·√|x|: large channels no longer decide distances alone."""
    return features.sign() * features.abs().sqrt()


def squared_length(points: Tensor) -> Tensor:
    """(n, d) -> (n,)."""
    return points.square().sum(1)


def spread_out(points: Tensor, count: int) -> Tensor:
    """Indices (count,) of points (n, d) that cover all: each is the farthest from those before it.

    The greedy k-centre of Sener and Savarese (2018). Where there are fewer points than asked for, they repeat.
    """
    points = points - points.mean(0)
    lengths = points.square().sum(1)
    nearest = torch.full_like(lengths, torch.inf)
    chosen = torch.zeros(count, dtype=torch.long, device=points.device)
    for place in range(1, count):
        newest = chosen[place - 1]
        away = torch.addmv(lengths + lengths[newest], points, points[newest], alpha=-2)  # ‖a − b‖² = ‖a‖² + ‖b‖² − 2ab
        nearest = torch.minimum(nearest, away)
        chosen[place] = nearest.argmax()
    return chosen


class Bank(nn.Module):
    """Normal patches to compare with, rooted, (size, D)."""

    patches: Tensor

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("patches", torch.zeros(size, dim))

    def learn(self, patches: Tensor) -> None:
        """Keep those of the patches (n, D) that cover all of them; which are looked at is drawn in a fixed way."""
        random = torch.Generator().manual_seed(0)
        projection = torch.randn(patches.shape[1], PROJECTION, generator=random).to(patches) / PROJECTION**0.5
        drawn = torch.randperm(len(patches), generator=random)[:CANDIDATES].to(patches.device)
        rows = rooted(patches[drawn])
        self.patches.copy_(rows[spread_out(rows @ projection, len(self.patches))])

    def forward(self, features: Tensor) -> Tensor:
        """Distance of each patch to the nearest one kept, (B, H, W, D) -> (B, H, W)."""
        patches = rooted(features).flatten(0, 2)
        lengths, few = squared_length(self.patches), AT_ONCE.get(features.device.type, len(patches))
        # ‖a − b‖² = ‖a‖² + (‖b‖² − 2ab), and ‖a‖² changes no minimum
        nearest = [torch.addmm(lengths, some, self.patches.T, alpha=-2).amin(1) for some in patches.split(few)]
        return (torch.cat(nearest) + squared_length(patches)).clamp_min(0).sqrt().unflatten(0, features.shape[:3])


class PatchMemory(View):
    """V3: distance of each patch to the nearest of the task's kept patches, wherever in the image that one was.

    Patches are features of the frozen backbone, not images, and none is trained on again. They belong to the task's
    expert.

    Args:
        dim: channels D.
        size: patches kept of a task.
    """

    def __init__(self, dim: int, size: int):
        super().__init__()
        self.banks = PerTask(lambda task: Bank(size, dim))

    def end_task(self, task: Task, batches: Batches) -> None:
        """Choose the task's patches."""
        self.banks[task.name].learn(torch.cat([batch.features.flatten(0, 2) for batch in batches()]))

    def forward(self, features: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W)."""
        return torch.cat([self.banks[task](part) for part in features.split(IMAGES_AT_ONCE)])
