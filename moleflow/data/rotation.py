"""I1: rotated views of normal training images. Held-out and test images are never rotated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from moleflow.data.sample import Sample
from moleflow.utils.seed import derive_seed


@dataclass(frozen=True)
class Rotation:
    """Under which angles training images are seen; angles are uniform in ±``degrees``.

    Attributes:
        degrees: largest rotation either way.
        views: fixed views of each image; 0: new ones whenever an image is trained on.
        seed: of the angles.
    """

    degrees: float
    views: int
    seed: int

    def fixed(self, samples: Sequence[Sample]) -> list[Sample]:
        """The fixed views of every image, one after another (a single one where ``views`` is 0).

        An angle depends on (seed, class, file name, number of the view) only: not on order, task or folder.
        """
        return [
            replace(sample, rotation=self._angle(sample, view))
            for sample in samples
            for view in range(max(1, self.views))
        ]

    def fresh(self, samples: Sequence[Sample], random: np.random.Generator) -> list[Sample]:
        """Every image once, under an angle drawn now."""
        angles = random.uniform(-self.degrees, self.degrees, len(samples)).tolist()
        return [replace(sample, rotation=angle) for sample, angle in zip(samples, angles, strict=True)]

    def _angle(self, sample: Sample, view: int) -> float:
        drawn = derive_seed(self.seed, "rotation", sample.class_name, sample.path.name, str(view))
        return float(np.random.default_rng(drawn).uniform(-self.degrees, self.degrees))


def rotated(image: Image.Image, degrees: float) -> Image.Image:
    """An image of the same size, rotated counter-clockwise about its centre (bicubic).

    What the rotation turns in from outside is the image mirrored at its border: no colour appears that the product
    does not have. An angle of 0 gives the image as it is.

    Args:
        image: RGB.
        degrees: the angle.
    """
    if degrees == 0:
        return image
    width, height = image.size
    diagonal = math.hypot(width, height)
    across, down = (math.ceil((diagonal - side) / 2) + 1 for side in (width, height))  # as far as a corner can reach
    mirrored = np.pad(np.asarray(image), ((down, down), (across, across), (0, 0)), mode="reflect")
    turned = Image.fromarray(mirrored).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((across, down, across + width, down + height))
