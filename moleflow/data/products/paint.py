"""Drawing with arrays: coordinates, distances, noise, layers. Images are float32 (size, size, 3) in 0..1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """A flawless product, with what its defects need to know.

    Attributes:
        image: what the camera sees, (S, S, 3).
        body: share of each pixel that the product covers, (S, S).
        beneath: what appears where a part of it is gone, (S, S, 3).
        parts: number of the removable part at each pixel, 0 where there is none, (S, S) int.
    """

    image: np.ndarray
    body: np.ndarray
    beneath: np.ndarray
    parts: np.ndarray

    @property
    def size(self) -> int:
        """Side S in pixels."""
        return self.body.shape[0]


@dataclass(frozen=True)
class Product:
    """How a product is drawn, and its defects: type -> painter of the defective image of a scene."""

    draw: Callable[[np.random.Generator, int], Scene]
    defects: Mapping[str, Callable[[Scene, np.random.Generator], np.ndarray]]


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) of the pixels' centres, each (S, S), the image's side being 1."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(line, line, indexing="ij")
    return y, x


def placed(rng: np.random.Generator, size: int, shift: float, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """(y, x) in a product's own frame: up to ``shift`` off the centre, turned by up to ``turn`` radians."""
    y, x = grid(size)
    dy, dx = rng.uniform(-shift, shift, 2).astype(np.float32) + np.float32(0.5)
    angle = rng.uniform(-turn, turn)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (y - dy) * cos - (x - dx) * sin, (y - dy) * sin + (x - dx) * cos


def coverage(distance: np.ndarray, edge: float = 1.0) -> np.ndarray:
    """Share of each pixel inside a shape from its signed distance (negative inside), ``edge`` pixels soft."""
    return np.clip(0.5 - distance * (distance.shape[0] / edge), 0, 1).astype(np.float32)


def over(image: np.ndarray, colour: np.ndarray | Colour, alpha: np.ndarray) -> np.ndarray:
    """A layer of a colour (or of another image) laid over an image with opacity ``alpha`` (S, S)."""
    return image + alpha[..., None] * (np.asarray(colour, np.float32) - image)


def lit(colour: Colour, tone: np.ndarray) -> np.ndarray:
    """A colour under a brightness (S, S)."""
    return tone[..., None] * np.asarray(colour, np.float32)


def mixed(low: Colour, high: Colour, share: np.ndarray) -> np.ndarray:
    """Colours between two, by ``share`` (S, S) of the second."""
    return over(np.broadcast_to(np.asarray(low, np.float32), (*share.shape, 3)), high, share)


def smooth_noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> np.ndarray:
    """Gaussian noise of about unit variance on a rows × columns grid, interpolated to (S, S)."""
    coarse = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def shadow(distance: np.ndarray, depth: float) -> np.ndarray:
    """Darkness (S, S) of the soft shadow that a shape throws to the lower right, ``depth`` away."""
    offset = max(1, round(depth * distance.shape[0]))
    thrown = np.roll(distance, (offset, offset), axis=(0, 1))
    return 0.45 * coverage(thrown, edge=3.0 * offset)
