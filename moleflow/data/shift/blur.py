"""Gaussian blur of a lens that is out of focus."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate1d

from moleflow.data.shift.transforms import Parameters


@dataclass(frozen=True)
class Blur:
    """A kernel of one of ``taps`` pixels; σ = 0.15·taps + 0.35 pixels (OpenCV's rule) times the strength."""

    taps: tuple[int, ...] = (3, 5)

    def draw(self, rng: np.random.Generator, strength: float) -> Parameters:
        """``taps`` and ``sigma``, in pixels of the image's own size."""
        taps = int(rng.choice(self.taps))
        return {"taps": taps, "sigma": strength * (0.15 * taps + 0.35)}

    def apply(self, image: np.ndarray, parameters: Parameters) -> np.ndarray:
        """(height, width, 3), before and after; mirrored beyond the border."""
        reach = int(parameters["taps"]) // 2
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / float(parameters["sigma"])) ** 2)
        weights /= weights.sum()
        return correlate1d(correlate1d(image, weights, axis=0, mode="mirror"), weights, axis=1, mode="mirror")
