"""Datasets by name: what the rest of the project asks of one, and the table of those there are."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from moleflow.data.demo import DemoDataset
from moleflow.data.folder import FolderDataset
from moleflow.data.mvtec import MVTecDataset
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean

__all__ = ["DATASETS", "ImageDataset", "Sample", "open_dataset"]


class ImageDataset(Protocol):
    """Images of several products, each with normal training images and a labelled test split.

    Attributes:
        name: the dataset's name in ``DATASETS``.
        root: its folder.
        classes: the products found there, in the dataset's order.
    """

    name: str
    root: Path
    classes: tuple[str, ...]

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class, sorted by path relative to the root."""
        ...

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class, good and defective, sorted by path relative to the root."""
        ...


DATASETS: Mapping[str, Callable[[Path], ImageDataset]] = {
    "demo": DemoDataset,
    "mvtec": MVTecDataset,
    "folder": FolderDataset,
}


def open_dataset(name: str, root: Path) -> ImageDataset:
    """The dataset ``name`` whose files lie under ``root``.

    Raises:
        UsageError: the name is unknown, the folder is missing, or it holds no class in the dataset's layout.
    """
    if name not in DATASETS:
        hint = did_you_mean(name, DATASETS)
        raise UsageError(f"unknown dataset {name!r}, expected one of {_known()}{hint}")
    root = Path(root).expanduser()
    if not root.is_dir():
        found = "is a file, not a folder" if root.exists() else "does not exist"
        raise UsageError(
            f"folder {root} of dataset {name!r} {found}: give its place with --data_path "
            f"(known datasets: {_known()}), or run `--preset demo`, which needs no data"
        )
    return DATASETS[name](root)


def _known() -> str:
    return ", ".join(DATASETS)
