"""Where a synthetic defect lies: irregular blobs and strokes, more often where the image has structure."""

import numpy as np
from scipy import ndimage

CANDIDATES = 12
"""Places drawn for a defect; one is chosen by its structure."""

FLAT = 0.15
"""Structure that every place has at least, as a share of the image's largest: flat places get defects, too."""

SMALLEST_RADIUS = 2.0
"""Of a blob, in pixels."""


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two positive ones whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def structure(image: np.ndarray) -> np.ndarray:
    """How much happens around each pixel, (h, w): local standard deviation of grey, σ a sixteenth of the height.

    Args:
        image: float (h, w, 3).
    """
    grey, sigma = image.mean(axis=-1), image.shape[0] / 16
    mean = ndimage.gaussian_filter(grey, sigma)
    variance = ndimage.gaussian_filter(grey**2, sigma) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))
    return deviation + FLAT * deviation.max() + 1e-6  # positive even where the image is one colour


def place(rng: np.random.Generator, weight: np.ndarray, margin: float) -> tuple[float, float]:
    """Row and column of a centre, ``margin`` pixels inside the image where it is large enough.

    One of ``CANDIDATES`` uniform places, with a probability proportional to ``weight`` (h, w) squared.
    """
    low, high = np.minimum(margin, np.array(weight.shape) / 2), np.array(weight.shape)
    places = rng.uniform(low, np.maximum(high - low, low + 1e-3), (CANDIDATES, 2))
    chances = weight[tuple(np.minimum(places, high - 1).astype(int).T)] ** 2
    row, column = places[rng.choice(CANDIDATES, p=chances / chances.sum())]
    return float(row), float(column)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Noise that varies over ``cells`` cells a side, (h, w): a lattice of standard normals, cubic between them.

    It stands for Perlin's noise (Perlin, An image synthesizer, SIGGRAPH 1985), which has gradients at the lattice.
    """
    lattice = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    rows, columns = (np.linspace(1, cells + 1, side, dtype=np.float32) for side in shape)
    return ndimage.map_coordinates(lattice, np.meshgrid(rows, columns, indexing="ij"), order=3, mode="nearest")


def blob(rng: np.random.Generator, weight: np.ndarray, share: float) -> np.ndarray:
    """An ellipse with a wavy border, bool (h, w), of about the given share of the image's area."""
    radius = max(np.sqrt(share * weight.size / np.pi), SMALLEST_RADIUS)
    row, column = place(rng, weight, radius)
    stretch, angle = np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0, np.pi)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] - np.array([row, column])[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = np.hypot(along / stretch, across * stretch) / radius
    return np.asarray(distance + 0.25 * smooth_noise(rng, weight.shape, 10) < 1)


def stroke(rng: np.random.Generator, weight: np.ndarray, length: int, thickness: int) -> np.ndarray:
    """A curved line, bool (h, w): a walk of ``length`` pixels whose direction drifts, dilated ``thickness`` times."""
    start = place(rng, weight, 0.1 * min(weight.shape))
    turns = rng.normal(0, 0.05) + rng.normal(0, 0.12, length)
    directions = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    steps = np.cumsum(np.stack([np.sin(directions), np.cos(directions)], axis=1), axis=0)
    points = (np.array(start) + steps).astype(int)
    inside = points[((points >= 0) & (points < weight.shape)).all(axis=1)]
    line = np.zeros(weight.shape, dtype=bool)
    line[tuple(inside.T)] = True
    return np.asarray(ndimage.binary_dilation(line, iterations=thickness))
