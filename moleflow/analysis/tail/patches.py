"""Patches of one product as a trained model sees them, and which of them are an image's tail."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from moleflow.config.task import Task
from moleflow.data.images import load_image
from moleflow.evaluation.latents import BATCH, SampleFeatures, cells_on_defects
from moleflow.models.mole_nf import MoLEFlow


@dataclass(frozen=True)
class Patches:
    """n images of one product on a grid of H × W patches.

    Attributes:
        features: what enters the data path after the backbone, (n, H, W, D).
        z: latents, (n, H, W, D).
        nll: negative log-likelihood in nats, (n, H, W).
        edges: mean gradient magnitude of the image in each cell, grey values a pixel in 0..1, (n, H, W).
        defects: whether a cell touches a defect, (n, H, W).
        labels: 0 good, 1 defect, (n,).
    """

    features: np.ndarray
    z: np.ndarray
    nll: np.ndarray
    edges: np.ndarray
    defects: np.ndarray
    labels: np.ndarray

    def where(self, chosen: np.ndarray) -> "Patches":
        """Some of the images, (n,) bool or indices."""
        return Patches(*(getattr(self, part.name)[chosen] for part in fields(self)))

    @property
    def good(self) -> "Patches":
        """The images without a defect."""
        return self.where(self.labels == 0)


@dataclass(frozen=True)
class Product:
    """What the studies look at.

    Attributes:
        name: the product.
        train: images the model was trained on.
        test: test images.
        ratio: ρ, the share of an image's patches that is its tail.
    """

    name: str
    train: Patches
    test: Patches
    ratio: float


@torch.no_grad()
def patches_of(model: MoLEFlow, data: SampleFeatures, task: Task, resize: str) -> Patches:
    """Every image of a set under its task."""
    found = [
        _batch(model, data, task.name, rows, resize)
        for rows in torch.arange(len(data.samples)).split(BATCH)
        if len(rows)
    ]
    return Patches(*(np.concatenate([getattr(one, part.name) for one in found]) for part in fields(Patches)))


def _batch(model: MoLEFlow, data: SampleFeatures, task: str, rows: Tensor, resize: str) -> Patches:
    features = data.take(rows.tolist())
    latent = model.likelihood(features, task)
    samples = [data.samples[row] for row in rows.tolist()]
    size, grid = model.extractor.img_size, model.extractor.grid
    images = [load_image(sample.path, size, resize) for sample in samples]
    return Patches(
        features.cpu().numpy(),
        latent.z.cpu().numpy(),
        latent.nll.cpu().numpy(),
        np.stack([edge_strength(image, grid) for image in images]),
        np.stack([cells_on_defects(sample, model, resize).numpy() for sample in samples]),
        np.array([sample.label for sample in samples]),
    )


def tail_of(nll: np.ndarray, ratio: float) -> np.ndarray:
    """The k = max(1, ⌊ρN⌋) least likely of each image's N patches: (n, H, W) -> (n, H, W) bool."""
    flat = nll.reshape(len(nll), -1)
    k = max(1, int(ratio * flat.shape[1]))
    mask = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(mask, np.argpartition(-flat, k - 1, axis=1)[:, :k], True, axis=1)
    return mask.reshape(nll.shape)


def edge_strength(image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Mean Sobel magnitude (grey values a pixel) in each cell of a grid: (3, h, h) in 0..1 or 0..255 -> (H, W)."""
    grey = image.astype(float).mean(axis=int(np.argmin(image.shape)))
    grey = grey / 255 if image.dtype == np.uint8 else grey
    magnitude = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)) / 8
    cells = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(magnitude)[None], grid)
    return cells[0].numpy()
