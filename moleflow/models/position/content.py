"""P4: position decided by content: patches that look alike get the same code, wherever they lie."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.position.sincos import sincos_grid
from moleflow.models.stages import Mapping
from moleflow.utils.errors import MoleflowError
from moleflow.utils.seed import derive_seed

PATCHES_OF_AN_IMAGE = 16
"""Patches that are drawn from each image."""
SAMPLE = 4096
"""Patches the codebook is made of, at most."""
ROUNDS = 10
"""Rounds of k-means."""


class Codebook(nn.Module):
    """The code of the prototype that is nearest to a patch (Euclidean).

    Prototypes are k-means centres of patches of the stream's first task (or of the pre-training of a base), learned
    without gradients when it starts; later tasks find them as they are, and they are saved in the base. Prototype k's
    code is cell k of a square sine-cosine grid, row by row. Before anything is learned all prototypes are zero and
    every patch gets one and the same code.

    Args:
        prototypes: number K of prototypes; where there are fewer different patches, prototypes repeat.
        dim: channels D.
        shared: whether all tasks use it; else it is one task's own, which then learns it, whichever it is.
    """

    prototypes: Tensor
    is_learned: Tensor
    codes: Tensor

    def __init__(self, prototypes: int, dim: int, shared: bool = True):
        super().__init__()
        self.shared = shared
        side = math.ceil(math.sqrt(prototypes))
        self.register_buffer("prototypes", torch.zeros(prototypes, dim))
        self.register_buffer("is_learned", torch.tensor(False))
        self.register_buffer("codes", sincos_grid(side, side, dim).flatten(0, 1)[:prototypes], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Patches (B, H, W, D) -> their codes, (B, H, W, D); no gradient passes."""
        return self.codes[self.nearest(x)]

    @torch.no_grad()
    def nearest(self, x: Tensor) -> Tensor:
        """Patches (B, H, W, D) -> indices of their prototypes, (B, H, W).

        Distances are summed pair by pair: by a matrix product their last bits, and with them a near tie, would depend
        on how many images are scored together.
        """
        patches = x.flatten(0, 2).to(self.prototypes.dtype)
        distances = torch.cdist(patches, self.prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        return distances.argmin(1).view(x.shape[:-1])

    @torch.no_grad()
    def start_task(self, task: Task, batches: Batches) -> None:
        """Learn the prototypes, if they are not there yet.

        Raises:
            MoleflowError: they are shared, not there, and the task is a later one.
        """
        if self.is_learned:
            return
        if self.shared and not (task.is_first or task.is_before_stream):
            raise MoleflowError(
                f"The position codebook expected to be learned in the stream's first task and is empty at task "
                f"{task.name!r} (number {task.index}): train the first task or load its base before."
            )
        self.prototypes.copy_(k_means(drawn_patches(batches), len(self.prototypes)))
        self.is_learned.fill_(True)


class ContentPosition(Mapping):
    """x + code(x): the code of each patch's nearest prototype is added.

    Args:
        shape: (H, W, D) of the features.
        prototypes: prototypes in the codebook.
        shared: whether all tasks use it.
    """

    def __init__(self, shape: tuple[int, int, int], prototypes: int, shared: bool = True):
        super().__init__()
        self.codebook = Codebook(prototypes, shape[-1], shared)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + self.codebook(x)


class HybridPosition(Mapping):
    """x + ½·grid + ½·code(x): the mean of P1's code and the content's.

    Args:
        shape: (H, W, D) of the features.
        prototypes: prototypes in the codebook.
        shared: whether all tasks use it.
    """

    grid: Tensor

    def __init__(self, shape: tuple[int, int, int], prototypes: int, shared: bool = True):
        super().__init__()
        self.register_buffer("grid", sincos_grid(*shape), persistent=False)
        self.codebook = Codebook(prototypes, shape[-1], shared)

    def forward(self, x: Tensor, task: str) -> Tensor:
        """(B, H, W, D) -> (B, H, W, D)."""
        return x + 0.5 * (self.grid + self.codebook(x))


def drawn_patches(batches: Batches) -> Tensor:
    """At most ``SAMPLE`` patches (n, D) in float64, the same number from each image; the draw is always the same."""
    generator = torch.Generator().manual_seed(derive_seed(0, "codebook"))
    drawn = []
    for batch in batches():
        for patches in batch.features.flatten(1, 2).double():
            drawn.append(patches[torch.randperm(len(patches), generator=generator)[:PATCHES_OF_AN_IMAGE]])
    every = torch.cat(drawn)
    return every[torch.randperm(len(every), generator=generator)[:SAMPLE]]


def k_means(points: Tensor, k: int) -> Tensor:
    """Lloyd's k centres (k, D) of points (n, D), n ≥ 1, from farthest points; an empty cluster keeps its centre."""
    centres = farthest_points(points, k)
    for _ in range(ROUNDS):
        members = F.one_hot(torch.cdist(points, centres).argmin(1), k).to(points.dtype)  # (n, k)
        sizes = members.sum(0)[:, None]
        centres = torch.where(sizes > 0, members.T @ points / sizes.clamp(min=1), centres)
    return centres


def farthest_points(points: Tensor, k: int) -> Tensor:
    """k of the points (n, D): first the one nearest to the mean, then always the one farthest from those chosen."""
    chosen = [(points - points.mean(0)).square().sum(1).argmin()]
    away = torch.full_like(points[:, 0], torch.inf)
    for _ in range(k - 1):
        away = away.minimum((points - points[chosen[-1]]).square().sum(1))
        chosen.append(away.argmax())
    return points[torch.stack(chosen)]
