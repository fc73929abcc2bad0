"""One synthetic anomaly: a normal image with a defect that shows, and exactly where it is."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from moleflow.data.synthetic.kinds import KINDS, Change, Scene
from moleflow.data.synthetic.regions import structure
from moleflow.utils.errors import UsageError

EDGE = 0.7
"""σ of the soft border of a defect, in pixels."""

FAINT, WINDOW = 2.0, 5
"""Grey levels that a pixel's surroundings of so many pixels a side must change by, on average, to count as defect."""

VISIBLE = 5.0
"""Grey levels that a defect's pixels change by at least, on average."""

ATTEMPTS = 50
"""Defects drawn before an image is given up."""


class Anomaly(NamedTuple):
    """A damaged image.

    Attributes:
        image: uint8 (h, w, 3); outside the mask it is the normal image.
        mask: the defect, bool (h, w); never empty.
    """

    image: np.ndarray
    mask: np.ndarray


def make_anomaly(kind: str, image: np.ndarray, donor: np.ndarray, seed: int) -> Anomaly:
    """Damage a normal image; the same arguments give the same pixels.

    A defect is drawn again until its pixels differ from the normal image by ``VISIBLE`` grey levels on average.

    Args:
        kind: one of ``KINDS``.
        image: uint8 (h, w, 3).
        donor: another normal image, uint8, of any size.
        seed: of this defect.

    Raises:
        UsageError: no defect of this kind shows on the image.
    """
    rng, normal = np.random.default_rng(seed), image.astype(np.float32)
    scene = Scene(normal, donor.astype(np.float32), structure(normal))
    for _ in range(ATTEMPTS):
        made = _applied(image, KINDS[kind](rng, scene))
        if _shows(image, made):
            return made
    raise UsageError(f"no {kind} shows in {ATTEMPTS} attempts: the image is one colour or nearly so; leave {kind} out")


def _applied(image: np.ndarray, change: Change) -> Anomaly:
    """The image with a change, and the parts of the change's region where it can be seen."""
    share = change.opacity * ndimage.gaussian_filter(change.region.astype(np.float32), EDGE)[..., None]
    painted = np.clip(np.rint(image + share * (change.pixels - image)), 0, 255).astype(np.uint8)
    seen = ndimage.uniform_filter(_difference(image, painted), WINDOW) > FAINT
    mask = change.region & seen
    return Anomaly(np.where(mask[..., None], painted, image), mask)


def _shows(image: np.ndarray, made: Anomaly) -> bool:
    return bool(made.mask.any()) and float(_difference(image, made.image)[made.mask].mean()) >= VISIBLE


def _difference(image: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Grey levels between two uint8 images, (h, w): mean over the channels."""
    return np.abs(image.astype(np.float32) - other).mean(axis=-1)
