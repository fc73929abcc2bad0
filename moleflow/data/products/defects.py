"""Defects: each paints the defective image of a scene; lengths are shares of the image's side."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from moleflow.data.products.paint import Colour, Scene, coverage, grid, over, smooth_noise

Defect = Callable[[Scene, np.random.Generator], np.ndarray]


def scratch(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A bright, nearly straight groove with a dark flank."""
    distance = _stroke(scene, rng, length=rng.uniform(0.12, 0.34), bend=0.12)
    strength = _strength(rng) * scene.body
    dark = over(scene.image, 0.45 * scene.image, coverage(np.roll(distance, 1, axis=0) - 0.010) * strength)
    return over(dark, 0.35 * scene.image + 0.62, coverage(distance - 0.005) * strength)


def crack(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A dark, jagged line with a paler lip."""
    distance = _stroke(scene, rng, length=rng.uniform(0.12, 0.34), bend=0.7)
    strength = _strength(rng) * scene.body
    lip = np.roll(distance, (1, 1), axis=(0, 1))
    pale = over(scene.image, 0.6 * scene.image + 0.4, 0.5 * coverage(lip - 0.009) * strength)
    return over(pale, 0.18 * scene.image, coverage(distance - 0.0065, edge=1.5) * strength)


def fibre(colour: Colour) -> Defect:
    """A stray thread of a colour lying on the product."""

    def paint(scene: Scene, rng: np.random.Generator) -> np.ndarray:
        distance = _stroke(scene, rng, length=rng.uniform(0.15, 0.38), bend=0.15)
        return over(scene.image, colour, _strength(rng) * coverage(distance - 0.007, edge=1.5) * scene.body)

    return paint


def stain(colour: Colour) -> Defect:
    """A spot of a colour, with a firm outline and uneven strength."""

    def paint(scene: Scene, rng: np.random.Generator) -> np.ndarray:
        distance = _blob(scene, rng, _place(scene, rng), rng.uniform(0.035, 0.075))
        uneven = np.clip(1 + 0.12 * smooth_noise(rng, scene.size, 16, 16), 0.7, 1.1)
        strength = 0.9 * _strength(rng) * uneven * scene.body
        spot = 0.8 * np.asarray(colour, np.float32) + 0.2 * scene.image * np.asarray(colour, np.float32)
        return over(scene.image, spot, strength * coverage(distance, edge=3.0))

    return paint


def hole(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A dark opening with a frayed, lighter rim, lit from the upper left."""
    distance = _blob(scene, rng, _place(scene, rng), rng.uniform(0.02, 0.055), roughness=0.3)
    rim = over(scene.image, 0.7 * scene.image + 0.22, 0.6 * coverage(distance - 0.012, edge=2.0) * scene.body)
    deep = over(rim, 0.10 * scene.image, coverage(distance, edge=2.0) * scene.body)
    lower = np.roll(distance, (-3, -3), axis=(0, 1))
    return over(deep, 0.35 * scene.image, coverage(distance, edge=2.0) * (1 - coverage(lower, edge=5.0)))


def chip(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A bite out of the product's outer edge."""
    near = uniform_filter(scene.body, max(3, scene.size // 40)) < 0.9
    y, x = grid(scene.size)
    outline = near & (scene.body > 0.9) & (np.hypot(y - 0.5, x - 0.5) > 0.3)
    distance = _blob(scene, rng, _pick(outline, rng), rng.uniform(0.03, 0.075), roughness=0.2)
    bitten = over(scene.image, scene.beneath, coverage(distance) * scene.body)
    flank = coverage(np.abs(distance - 0.007) - 0.007) * scene.body
    return over(bitten, 0.62 * scene.image, 0.9 * flank * (distance > 0))


def removed_part(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """One whole part is gone."""
    numbers = np.unique(scene.parts[scene.parts > 0])
    return over(scene.image, scene.beneath, (scene.parts == rng.choice(numbers)).astype(np.float32))


def removed_yarn(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Two neighbouring yarns are missing over a length."""
    y, x = _place(scene, rng)
    first = scene.parts[int(y * scene.size), int(x * scene.size)]
    length = rng.uniform(0.10, 0.28)
    gone = np.isin(scene.parts, (first, first + 1)) & (np.abs(grid(scene.size)[0] - y) < length / 2)
    return over(scene.image, scene.beneath, gone.astype(np.float32))


def solder(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """A splash of molten metal with a highlight."""
    distance = _blob(scene, rng, _place(scene, rng), rng.uniform(0.022, 0.05), roughness=0.3)
    dome = gaussian_filter(np.sqrt(np.clip(-distance / 0.045, 0, 1)), scene.size / 100)
    tone = 0.62 + 1.1 * (dome - np.roll(dome, (-3, -3), axis=(0, 1))) * -1 + 0.15 * dome
    metal = np.clip(tone, 0.25, 1)[..., None] * np.array((0.93, 0.95, 1.0), np.float32)
    return over(scene.image, metal, coverage(distance, edge=1.5))


def _strength(rng: np.random.Generator) -> float:
    """Opacity of a defect: from faint to full."""
    return rng.uniform(0.38, 1.0)


def _place(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """A point (y, x) well inside the product and the image."""
    y, x = grid(scene.size)
    inside = np.maximum(np.abs(y - 0.5), np.abs(x - 0.5)) < 0.38
    return _pick(inside & (uniform_filter(scene.body, scene.size // 16) > 0.98), rng)


def _pick(where: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A random pixel's (y, x) out of those that are set."""
    row, column = np.argwhere(where)[rng.integers(where.sum())]
    return (row + 0.5) / where.shape[0], (column + 0.5) / where.shape[0]


def _blob(
    scene: Scene,
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    roughness: float = 0.35,
) -> np.ndarray:
    """Signed distance (S, S) to an irregular spot, its radius modulated over the angle."""
    y, x = grid(scene.size)
    dy, dx = y - np.float32(centre[0]), x - np.float32(centre[1])
    angle = np.arctan2(dy, dx)
    waves = [np.cos(k * angle + rng.uniform(0, 2 * np.pi)) * rng.normal() / k for k in (1, 2, 3, 5, 8, 13)]
    return (np.hypot(dy, dx) - radius * (1 + np.clip(roughness * sum(waves), -0.5, 0.5))).astype(np.float32)


def _stroke(scene: Scene, rng: np.random.Generator, length: float, bend: float) -> np.ndarray:
    """Distance (S, S) to a line on the product in 10 steps that stray by ``bend`` radians (std)."""
    y, x = grid(scene.size)
    step = length / 10
    centre = np.array(_place(scene, rng))
    drift = np.linspace(0, rng.normal(), 10)
    heading = rng.uniform(0, 2 * np.pi) + 0.6 * drift + bend * rng.standard_normal(10)
    track = np.cumsum(step * np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0)
    points = (track - track.mean(axis=0) + centre).astype(np.float32)
    nearest = np.full(y.shape, np.inf, np.float32)
    for (ay, ax), (by, bx) in pairwise(points):
        share = np.clip(((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / np.float32(step**2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(y - ay - share * (by - ay), x - ax - share * (bx - ax)))
    return nearest
