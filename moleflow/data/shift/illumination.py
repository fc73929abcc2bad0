"""Light that falls off across the image, in half of the images."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform

DARKEST = 0.95
"""Largest share of the light that may be lost anywhere."""


@dataclass(frozen=True)
class Illumination:
    """Colours times 1 − strength·t, t from 0 (full light) to 1.

    Linear: t grows along a direction from one corner of the image to the opposite one. Radial: t grows with the
    distance from a point, in shares of the distance of the corner farthest from it. Each image is lit so with the
    probability ``share``, in either form alike; the strength is uniform in [``low``, ``high``].
    """

    low: float = 0.4
    high: float = 0.7
    share: float = 0.5

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``kind``: none, linear or radial; ``strength``; ``degrees``: direction; ``x``, ``y``: the point, in 0..1."""
        lit, radial = rng.uniform() < self.share, rng.uniform() < 0.5
        return {
            "kind": ("radial" if radial else "linear") if lit else "none",
            "strength": min(DARKEST, uniform(rng, self.low, self.high, strength)),
            "degrees": rng.uniform(0, 360),
            "x": rng.uniform(),
            "y": rng.uniform(),
        }

    def apply(self, image: np.ndarray, parameters: Parameters) -> np.ndarray:
        """(height, width, 3), before and after."""
        if parameters["kind"] == "none":
            return image
        lost = float(parameters["strength"]) * fall_off(parameters, *image.shape[:2])
        return image * (1 - lost)[..., None].astype(np.float32)


def fall_off(parameters: Parameters, height: int, width: int) -> np.ndarray:
    """(height, width) in 0..1: the share of ``strength`` that is lost at every pixel."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    if parameters["kind"] == "radial":
        distance = np.hypot(x - float(parameters["x"]) * (width - 1), y - float(parameters["y"]) * (height - 1))
        return distance / max(float(distance.max()), 1e-6)
    angle = np.radians(float(parameters["degrees"]))
    along = x * np.cos(angle) + y * np.sin(angle)
    return (along - along.min()) / max(float(along.max() - along.min()), 1e-6)
