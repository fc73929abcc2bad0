"""Test images of a task at the data path's end, under their own task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.data.images import pixel_truth
from moleflow.data.sample import Sample
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.routing.statistics import image_features

BATCH = 32


class SampleFeatures(Protocol):
    """Images and their features."""

    samples: list[Sample]

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images, (n, H, W, D)."""


class TestImages(Protocol):
    """Where the test images of a class come from."""

    def test(self, class_name: str, task: Task) -> SampleFeatures:
        """The class's test images."""


@dataclass(frozen=True)
class Latents:
    """n images of one task, on the CPU.

    Attributes:
        z_norm, logdet, nll: ‖z‖, log|det| of all stages, and NLL of each patch, (n, H, W).
        images: mean features, (n, D), float64.
        defects: whether a patch's cell touches a defect, (n, H, W); false where there is no mask.
    """

    z_norm: Tensor
    logdet: Tensor
    nll: Tensor
    images: Tensor
    defects: Tensor


def latents_of(model: MoLEFlow, data: TestImages, task: Task, label: int, resize: str) -> Latents:
    """The task's test images with a label (0 good, 1 defect)."""
    none, dim = torch.zeros(0, *model.extractor.grid), model.extractor.dim
    parts = [Latents(none, none, none, torch.zeros(0, dim, dtype=torch.float64), none.bool())]
    for name in task.classes:
        parts += _batches(model, data.test(name, task), task.name, label, resize)
    return Latents(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Latents)))


def _batches(model: MoLEFlow, features: SampleFeatures, task: str, label: int, resize: str) -> Iterator[Latents]:
    chosen = [index for index, sample in enumerate(features.samples) if sample.label == label]
    for start in range(0, len(chosen), BATCH):
        rows = chosen[start : start + BATCH]
        seen = features.take(rows)
        latent = model.likelihood(seen, task)
        yield Latents(
            z_norm=latent.z.norm(dim=-1).cpu(),
            logdet=(latent.adapter_logdet + latent.flow_logdet).cpu(),
            nll=latent.nll.cpu(),
            images=image_features(seen).cpu(),
            defects=torch.stack([cells_on_defects(features.samples[row], model, resize) for row in rows]),
        )


def cells_on_defects(sample: Sample, model: MoLEFlow, resize: str) -> Tensor:
    """Which cells of the grid touch a defect, (H, W) bool; none where the image has no mask."""
    truth = pixel_truth(sample, model.extractor.img_size, resize)
    if truth is None:
        return torch.zeros(model.extractor.grid, dtype=torch.bool)
    return F.adaptive_max_pool2d(torch.from_numpy(truth).float()[None], model.extractor.grid)[0] > 0
