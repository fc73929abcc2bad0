"""A part of the image, enlarged to the whole."""

from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform


@dataclass(frozen=True)
class Crop:
    """A part of the image's own aspect ratio with a share of its area uniform in [``area``, 1], anywhere in it."""

    area: float = 0.9

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``area``; ``left`` and ``top``: place of the part, 0 at one border and 1 at the other."""
        area = uniform(rng, self.area, 1.0, strength, neutral=1.0)
        return {"area": area, "left": rng.uniform(), "top": rng.uniform()}

    def matrix(self, parameters: Parameters, width: int, height: int) -> np.ndarray:
        """From the result to its source: shrunk, then moved to the part's place."""
        side = float(parameters["area"]) ** 0.5
        left, top = (float(parameters[name]) * (1 - side) for name in ("left", "top"))
        return np.array([[side, 0, left * width], [0, side, top * height], [0, 0, 1]])
