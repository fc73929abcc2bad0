"""Features on their way to those who learn from them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Patch features of some images and the place of each image's class in its task.

    Attributes:
        features: (B, H, W, D).
        classes: (B,) integers into the task's classes, sorted by name.
    """

    features: Tensor
    classes: Tensor


Batches = Callable[[], Iterable[Batch]]
"""A task's training features, iterable as often as wanted."""
