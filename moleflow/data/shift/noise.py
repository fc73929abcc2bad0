"""Noise of the sensor."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform


@dataclass(frozen=True)
class Noise:
    """Gaussian, independent in every pixel and channel, its σ uniform in [``low``, ``high``] of the full range."""

    low: float = 0.01
    high: float = 0.05

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``sigma``; ``seed``: of the pixels' values."""
        return {"sigma": uniform(rng, self.low, self.high, strength), "seed": int(rng.integers(1 << 31))}

    def apply(self, image: np.ndarray, parameters: Parameters) -> np.ndarray:
        """(height, width, 3), before and after, clipped to 0..1."""
        rng = np.random.default_rng(int(parameters["seed"]))
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + np.float32(parameters["sigma"]) * noise, 0, 1)
