"""Rotation about the centre."""

import math
from dataclasses import dataclass

import numpy as np

from moleflow.data.shift.transforms import Parameters, uniform


@dataclass(frozen=True)
class Rotate:
    """An angle uniform in ±``degrees``, counter-clockwise."""

    degrees: float = 10.0

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``degrees``."""
        return {"degrees": uniform(rng, -self.degrees, self.degrees, strength)}

    def matrix(self, parameters: Parameters, width: int, height: int) -> np.ndarray:
        """From the result to its source: the rotation backwards."""
        angle = math.radians(float(parameters["degrees"]))
        cos, sin, x, y = math.cos(angle), math.sin(angle), width / 2, height / 2
        return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])
