"""Colour jitter: brightness, contrast, saturation."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform

FACTORS = ("brightness", "contrast", "saturation")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class Jitter:
    """Three factors f, each uniform in [``low``, ``high``]; each step is clipped to 0..1.

    Brightness f·x, then contrast m + f·(x − m) with m the image's mean grey, then saturation g + f·(x − g) with g the
    pixel's grey.
    """

    low: float = 0.7
    high: float = 1.3

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``brightness``, ``contrast`` and ``saturation``; 1 changes nothing."""
        return {name: uniform(rng, self.low, self.high, strength, neutral=1.0) for name in FACTORS}

    def apply(self, image: np.ndarray, parameters: Parameters) -> np.ndarray:
        """(height, width, 3), before and after."""
        brightness, contrast, saturation = (np.float32(parameters[name]) for name in FACTORS)
        image = np.clip(brightness * image, 0, 1)
        mean = (image @ LUMA).mean()
        image = np.clip(mean + contrast * (image - mean), 0, 1)
        grey = (image @ LUMA)[..., None]
        return np.clip(grey + saturation * (image - grey), 0, 1)
