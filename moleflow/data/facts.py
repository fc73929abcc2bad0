"""What is published about a dataset beside its images: counts, textures, which classes are hard."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """Images of one class as published; None where sources disagree or say nothing.

    Attributes:
        train: normal training images.
        good: normal test images.
        defective: defective test images.
    """

    train: int | None = None
    good: int | None = None
    defective: int | None = None


@dataclass(frozen=True)
class Facts:
    """What checks and task orders may know of a dataset; empty where nothing is published.

    Attributes:
        counts: class -> its official counts, in the official order of classes.
        textures: the classes that show a texture; the others show objects.
        image_auroc: class -> published image AUROC of one strong detector trained on that class alone, in %: the lower,
            the harder. Only its order is used.
    """

    counts: Mapping[str, Counts] = field(default_factory=dict)
    textures: frozenset[str] = frozenset()
    image_auroc: Mapping[str, float] = field(default_factory=dict)
