"""One image and what is known about it."""

from dataclasses import dataclass
from pathlib import Path

GOOD = "good"
"""Name of the folder, and of the ``defect``, of normal images."""


@dataclass(frozen=True)
class Sample:
    """An image file with its ground truth.

    Attributes:
        path: the image.
        class_name: the product it shows.
        label: 0 good, 1 defect.
        defect: ``"good"`` or the type of the defect.
        mask: file whose non-zero pixels are the defect; None for good images and for defect types that ship
            no masks (those count for image metrics only).
        rotation: degrees counter-clockwise by which the image is rotated when it is read; the mask is not, so only
            normal training images are seen rotated.
    """

    path: Path
    class_name: str
    label: int
    defect: str
    mask: Path | None
    rotation: float = 0.0
