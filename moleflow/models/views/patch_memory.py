"""V3: distance to a small memory of the task's normal patches (PatchCore, Roth et al. 2022)."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.models.task import PerTask
from moleflow.models.views.base import View
from moleflow.models.views.coordinates import Coordinates, coordinates_of, squared_length
from moleflow.utils.products import PIECES, least_products, pieces

PROJECTION = 64
"""Channels of the random projection a memory is chosen in."""
IMAGES_AT_ONCE = 8
USUAL = 64
"""Training images that tell what is usual at a place, at most, spread over all."""
LEVELS, MIDDLE, TINY = 255, 128, 1e-12
"""Steps of a kept number, the code in the middle, and the least span of a channel."""
AT_ONCE = {"cpu": 1024}
"""Patches whose distances are taken together, where all of a batch are slower: they stay in the caches."""


class Cover(NamedTuple):
    """Few points that stand for many.

    Attributes:
        chosen: their indices, (count,).
        cells: for each point, the place in ``chosen`` of the one that stands for it, (n,).
    """

    chosen: Tensor
    cells: Tensor


def spread_out(points: Tensor, count: int) -> Cover:
    """Those points of (n, d) that cover all: each is the farthest from those before it, and stands for the nearest.

    The greedy k-centre of Sener and Savarese (2018). Where there are fewer points than asked for, they repeat.
    """
    points = points - points.mean(0)
    lengths = points.square().sum(1)
    nearest = torch.full_like(lengths, torch.inf)
    chosen = torch.zeros(count, dtype=torch.long, device=points.device)
    cells = torch.zeros_like(lengths, dtype=torch.long)
    for place in range(count):
        newest = chosen[place]
        away = torch.addmv(lengths + lengths[newest], points, points[newest], alpha=-2)  # ‖a − b‖² = ‖a‖² + ‖b‖² − 2ab
        cells.masked_fill_(away < nearest, place)
        nearest = torch.minimum(nearest, away)
        if place + 1 < count:
            chosen[place + 1] = nearest.argmax()
    return Cover(chosen, cells)


def covering(patches: Tensor, count: int, candidates: int) -> tuple[Tensor, Cover]:
    """Which patches of (n, D) are looked at, drawn in a fixed way, and those of them that cover them."""
    random = torch.Generator().manual_seed(0)
    projection = torch.randn(patches.shape[1], PROJECTION, generator=random).to(patches) / PROJECTION**0.5
    drawn = torch.randperm(len(patches), generator=random)[:candidates].to(patches.device)
    return drawn, spread_out(patches[drawn] @ projection, count)


class Factor(NamedTuple):
    """A memory as one factor of a product, the patches asked about being the other.

    With a = x − middle and b = step·(code − 128), ‖a − b‖² = (−2·step·a, 1, ‖a‖²)·(code − 128, ‖b‖², 1). Both factors
    have eight significant bits, and so has what comes out (``least_products``): a patch is rounded as finely as kept
    ones, whose codes are exact in them, and a squared length is a sum of three numbers.

    Attributes:
        middle: (D,), float32.
        slope: −2·step, (D,), float32.
        kept: (code − 128, ‖b‖², 1) in bfloat16, (D + 2·PIECES, size).
    """

    middle: Tensor
    slope: Tensor
    kept: Tensor

    def distances(self, patches: Tensor) -> Tensor:
        """Distance of each patch to the nearest one kept, (n, D) -> (n,), float32."""
        asked = ((patches.float() - self.middle) * self.slope).bfloat16()
        lengths = pieces(squared_length(asked / self.slope))
        return least_products(torch.cat([asked, asked.new_ones(len(asked), PIECES), lengths], dim=1), self.kept).sqrt()


class Bank(nn.Module):
    """Normal patches to compare with, (size, D), in 8 bits a number: low + step·code, channel by channel.

    A step is 1/255 of what the channel spans, far below the distance of neighbouring patches, and a quarter of float32.

    Attributes:
        images: of how many images they are; 0 where that is not known: files do not keep it.
    """

    codes: Tensor
    low: Tensor
    step: Tensor
    owners: Tensor
    spares: Tensor
    usual: Tensor | None
    """Mean distance of normal patches at each place to the nearest kept one of another image, (h, w), until stored."""

    def __init__(self, size: int, dim: int):
        super().__init__()
        self.register_buffer("codes", torch.zeros(dim, size, dtype=torch.uint8).T)  # as the product reads them
        self.register_buffer("low", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("step", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("owners", torch.zeros(size, dtype=torch.long), persistent=False)
        self.register_buffer("spares", torch.full((size,), torch.inf), persistent=False)
        self.images = 0
        self.usual = None
        self._lengths: Tensor | None = None
        self._ready: Factor | None = None
        self._hidden: Tensor | None = None

    @property
    def patches(self) -> Tensor:
        """The patches as they are compared with, float32 (size, D)."""
        return (self.low + self.step * self.codes).float()

    def experts_changed(self) -> None:
        """Forget what was made of the kept patches."""
        self._lengths = self._ready = None

    def put_away(self) -> None:
        """Give up the factor of the product, twice as large as what is kept, until the next one is asked for."""
        self._ready = None

    def keep(self, patches: Tensor) -> None:
        """Keep patches (size, D)."""
        patches = patches.double()
        self.low.copy_(patches.amin(0))
        self.step.copy_((patches.amax(0) - self.low).clamp_min(TINY) / LEVELS)
        self.codes.copy_(((patches - self.low) / self.step).round())
        self.images = 0
        self.experts_changed()

    def know(self, images: int, patches: Tensor, owners: Tensor, cover: Cover) -> None:
        """Note, until the program ends, which images the kept patches are of, and what would stand in for each.

        That is the nearest patch of another image among those that it stands for; there may be none.

        Args:
            images: how many images there are.
            patches: all those patches that were looked at, (n, D).
            owners: the numbers of the images they are of, (n,).
            cover: which were kept.
        """
        self.images = images
        self.owners.copy_(owners[cover.chosen])
        others = owners != self.owners[cover.cells]
        cells = cover.cells[others]
        away = (patches[others] - patches[cover.chosen][cells]).norm(dim=1)
        self.spares.fill_(torch.inf).scatter_reduce_(0, cells, away.to(self.spares), "amin")

    @contextmanager
    def without(self, image: int) -> Iterator[None]:
        """Compare with the other images' patches, and where one of this image is nearer, with what stands in for it.

        A patch that stands for many images' is no loss; one that shows what only this image has is. Distances are
        float32's meanwhile; with a number that no image has they are those of always but for their rounding.
        """
        self._hidden = self.owners == image
        try:
            yield
        finally:
            self._hidden = None

    def forward(self, patches: Tensor) -> Tensor:
        """Distance of each patch to the nearest one kept, (B, P, D) -> (B, P)."""
        if self._hidden is not None:
            return self._as_new(patches, self._hidden)
        ready, flat = self._ready, patches.flatten(0, 1)
        if ready is None or ready.kept.device != patches.device:
            ready = self._ready = self._factor()
        nearest = [ready.distances(some) for some in flat.split(AT_ONCE.get(patches.device.type, len(flat)))]
        return torch.cat(nearest).unflatten(0, patches.shape[:2]).to(patches)

    def _factor(self) -> Factor:
        codes = self.codes.T.bfloat16() - MIDDLE
        if self._lengths is None or self._lengths.device != codes.device:
            self._lengths = pieces(squared_length((self.step * codes.T).float()))
        kept = torch.cat([codes, self._lengths.T, codes.new_ones(PIECES, codes.shape[1])])
        return Factor((self.low + self.step * MIDDLE).float(), (-2 * self.step).float(), kept)

    def _as_new(self, patches: Tensor, hidden: Tensor) -> Tensor:
        """The least ‖a − b‖ over the kept patches, for hidden ones plus that from b to what stands in for it."""
        spares = self.spares.to(patches).masked_fill(~hidden, 0)
        return (torch.cdist(patches, self.patches.to(patches)) + spares).amin(-1)


class PatchMemory(View):
    """V3: distance of each patch to the nearest of the task's kept patches, wherever in the image that one was.

    Patches are features of the frozen backbone, not images, and none is trained on again. They belong to the task's
    expert. On a pooled grid fewer patches cover a product better, and each sees more around it; on the fine one
    small defects stand out: both are memories of their own.

    Args:
        shape: (H, W, D) of the features.
        pooling: cells along a side that are pooled to one patch.
        size: patches kept of a task.
        counts: how much it counts beside the flow.
        candidates: patches they are chosen from, at most.
        shallow: what the first channel counts beside the last.
        directions: how many principal directions patches are compared along; 0: every channel.
        tells_usual: whether it finds out what is usual at each place when it is filled (V6).
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        pooling: int,
        size: int,
        counts: float = 1.0,
        candidates: int = 100_000,
        shallow: float = 1.0,
        directions: int = 0,
        tells_usual: bool = False,
    ):
        height, width, dim = shape
        super().__init__((max(1, height // pooling), max(1, width // pooling)), counts)
        self.candidates = candidates
        self.coordinates = PerTask(lambda task: Coordinates(dim, shallow, directions))
        self.banks = PerTask(lambda task: Bank(size, coordinates_of(dim, directions)))
        self.tells_usual = tells_usual
        self._last_used: weakref.ref[Bank] | None = None

    def end_task(self, task: Task, batches: Batches) -> None:
        """Find the task's coordinates and choose its patches; in all channels, so that what is rare in any is in."""
        coordinates, bank = self.coordinates[task.name], self.banks[task.name]
        places = torch.cat([self.places(batch.features) for batch in batches()])
        patches = coordinates.weighted(places.flatten(0, 1))
        coordinates.learn(patches)
        drawn, cover = covering(patches, len(bank.codes), self.candidates)
        compared = coordinates.along(patches[drawn])
        bank.keep(compared[cover.chosen])
        bank.know(len(places), compared, drawn // places.shape[1], cover)
        bank.usual = self._usual(places, task.name) if self.tells_usual else None

    def judge(self, places: Tensor, task: str) -> Tensor:
        """(B, P, D) -> (B, P)."""
        coordinates, bank = self.coordinates[task], self._used(task)
        return torch.cat([bank(coordinates(part)) for part in places.split(IMAGES_AT_ONCE)])

    def usual(self, task: str) -> Tensor | None:
        """Mean distance of the task's normal patches at each place to the nearest kept one of another image, (h, w).

        Known from when the memory was filled until the program ends; not finite where all that is kept is of one image.
        With turned views of images, other views of an image count as other images.
        """
        return self.banks[task].usual

    def _usual(self, places: Tensor, task: str) -> Tensor:
        """From all places of the images that filled the memory, (n, h·w, D); at most USUAL of them are looked at."""
        bank, seen = self.banks[task], []
        for number in range(0, len(places), -(-len(places) // USUAL)):
            with bank.without(number):
                seen.append(self.judge(places[number : number + 1], task))
        return torch.cat(seen).mean(0).unflatten(0, self.grid)

    def _used(self, task: str) -> Bank:
        """The task's memory; one that another task's was used before has put its factor away."""
        bank, last = self.banks[task], None if self._last_used is None else self._last_used()
        if last is not bank:
            if last is not None:
                last.put_away()
            self._last_used = weakref.ref(bank)
        return bank
