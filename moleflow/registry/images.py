"""The images of a run whose classes lie in several folders."""

from collections.abc import Callable, Mapping
from pathlib import Path

from moleflow.data.datasets import ImageDataset, Sample


class GatheredDataset:
    """Classes from several datasets of one layout.

    Args:
        homes: class -> the dataset that holds it.
    """

    def __init__(self, homes: Mapping[str, ImageDataset]):
        self.homes = homes
        self.classes = tuple(homes)
        self.name, self.root = "gathered", Path()

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class."""
        return self.homes[class_name].train(class_name)

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class."""
        return self.homes[class_name].test(class_name)


def home_of(dataset: ImageDataset, class_name: str) -> ImageDataset:
    """The dataset in whose folder a class lies."""
    return dataset.homes[class_name] if isinstance(dataset, GatheredDataset) else dataset


def gathered(roots: Mapping[str, str | None], open_root: Callable[[str | None], ImageDataset]) -> ImageDataset:
    """The images of classes, each from its folder.

    Args:
        roots: class -> folder of its images; None: the run's own.
        open_root: opens the dataset in a folder.

    Raises:
        UsageError: a folder is missing or holds no class.
    """
    opened = {root: open_root(root) for root in dict.fromkeys(roots.values())}
    if len(opened) == 1:
        return next(iter(opened.values()))
    return GatheredDataset({name: opened[root] for name, root in roots.items() if name in opened[root].classes})
