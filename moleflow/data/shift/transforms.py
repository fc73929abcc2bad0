"""What every transform of a shifted domain promises."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

Parameters = Mapping[str, float | str]
"""What was drawn for one image: plain numbers and words, so that they can be written down and applied again."""


class Geometric(Protocol):
    """Moves the image and its mask alike."""

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """Parameters of one image; ``strength`` scales their distance from doing nothing, the draws stay the same."""
        ...

    def matrix(self, parameters: Parameters, width: int, height: int) -> np.ndarray:
        """(3, 3), from a point (x, y, 1) of the result to its source, in pixels from the upper left corner."""
        ...


class Photometric(Protocol):
    """Changes colours only; masks stay as they are."""

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """As in ``Geometric``."""
        ...

    def apply(self, image: np.ndarray, parameters: Parameters) -> np.ndarray:
        """(height, width, 3) float32 in 0..1, before and after."""
        ...


def uniform(rng: np.random.Generator, low: float, high: float, strength: float, neutral: float = 0.0) -> float:
    """A number uniform in [low, high], then moved to ``strength`` times its distance from ``neutral``."""
    return neutral + strength * (rng.uniform(low, high) - neutral)
