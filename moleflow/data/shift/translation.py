"""Translation by a small share of the image's sides."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform


@dataclass(frozen=True)
class Translate:
    """To the right and down by shares of width and height, each uniform in ±``share``."""

    share: float = 0.05

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``right`` and ``down``, shares of the sides."""
        return {name: uniform(rng, -self.share, self.share, strength) for name in ("right", "down")}

    def matrix(self, parameters: Parameters, width: int, height: int) -> np.ndarray:
        """From the result to its source: moved back."""
        right, down = float(parameters["right"]) * width, float(parameters["down"]) * height
        return np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1]])
