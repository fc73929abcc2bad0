"""Kinds of synthetic defects: what is painted on a normal image, and where."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from moleflow.data.synthetic.regions import blob, log_uniform, smooth_noise, stroke


class Scene(NamedTuple):
    """A normal image to be damaged.

    Attributes:
        image: float32 (h, w, 3) in 0..255.
        donor: another normal image, float32 (any, any, 3).
        weight: how likely defects are at each pixel, (h, w), positive.
    """

    image: np.ndarray
    donor: np.ndarray
    weight: np.ndarray


class Change(NamedTuple):
    """What a defect does to an image.

    Attributes:
        pixels: float (h, w, 3), the image as it is where the defect lies.
        region: where it lies at most, bool (h, w).
        opacity: how much of ``pixels`` is seen there; the rest is the normal image.
    """

    pixels: np.ndarray
    region: np.ndarray
    opacity: float = 1.0


def cutpaste(rng: np.random.Generator, scene: Scene) -> Change:
    """A patch of another normal image, from anywhere in it and perhaps upside down, with an irregular border.

    After CutPaste (Li et al., CVPR 2021), whose patches are rectangles of the same image.
    """
    region = blob(rng, scene.weight, log_uniform(rng, 0.002, 0.02))
    turned = np.rot90(scene.donor, 2 * int(rng.integers(2)))
    rows, columns = (
        (np.arange(side) + rng.integers(source)) % source
        for side, source in zip(region.shape, turned.shape[:2], strict=True)
    )
    return Change(turned[np.ix_(rows, columns)], region, rng.uniform(0.6, 1.0))


def texture(rng: np.random.Generator, scene: Scene) -> Change:
    """Smooth noise and a change of brightness in an irregular blob.

    After DRAEM (Zavrtanik et al., ICCV 2021), whose textures are pictures of other things; none are needed here.
    """
    region = blob(rng, scene.weight, log_uniform(rng, 0.002, 0.03))
    noise = rng.uniform(10, 40) * smooth_noise(rng, region.shape, int(rng.integers(20, 80)))
    brightness = rng.uniform(-25, 25) * rng.integers(2)
    return Change(scene.image + (noise + brightness)[..., None], region, rng.uniform(0.5, 1.0))


def scratch(rng: np.random.Generator, scene: Scene) -> Change:
    """A thin curved line, brighter or darker (as the scars of CutPaste, but bent)."""
    scale = scene.image.shape[0] / 256
    length, thickness = round(rng.integers(20, 80) * scale), round(rng.integers(1, 3) * scale)
    region = stroke(rng, scene.weight, max(length, 3), max(thickness, 1))
    return Change(scene.image + _brightness(rng), region)


def spot(rng: np.random.Generator, scene: Scene) -> Change:
    """A small blob, brighter or darker: dirt, a bubble, a missing crumb."""
    region = blob(rng, scene.weight, log_uniform(rng, 0.0008, 0.006))
    return Change(scene.image + _brightness(rng), region)


def warp(rng: np.random.Generator, scene: Scene) -> Change:
    """A local deformation: inside a blob the image is moved in one direction, most in the middle, not at the border."""
    region = blob(rng, scene.weight, log_uniform(rng, 0.004, 0.03))
    depth = ndimage.distance_transform_edt(region)
    far = rng.uniform(0.4, 0.9) * np.minimum(2 * depth, depth.max())
    angle = rng.uniform(0, 2 * np.pi)
    source = np.mgrid[: region.shape[0], : region.shape[1]] + np.stack([far * np.sin(angle), far * np.cos(angle)])
    channels = [ndimage.map_coordinates(scene.image[..., c], source, order=1, mode="nearest") for c in range(3)]
    return Change(np.stack(channels, axis=-1), region)


Kind = Callable[[np.random.Generator, Scene], Change]

KINDS: Mapping[str, Kind] = {
    "cutpaste": cutpaste, "texture": texture, "scratch": scratch, "spot": spot, "warp": warp,
}  # fmt: skip
"""Name -> what makes it."""


def _brightness(rng: np.random.Generator) -> float:
    """A visible step up or down, in grey levels."""
    return float(rng.choice([-1, 1]) * rng.uniform(15, 60))
