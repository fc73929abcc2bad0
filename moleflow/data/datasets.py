"""Datasets by name: what the rest of the project asks of one, and the table of those there are."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from moleflow.data.btad import BTAD_FACTS, BTADDataset
from moleflow.data.demo import DemoDataset
from moleflow.data.domains import DomainsDataset
from moleflow.data.facts import Facts
from moleflow.data.folder import FolderDataset
from moleflow.data.mpdd import MPDD_FACTS, MPDDDataset
from moleflow.data.mvtec import MVTEC_FACTS, MVTecDataset
from moleflow.data.sample import Sample
from moleflow.data.shifted import ShiftedDataset
from moleflow.data.visa import VISA_FACTS, VisADataset
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean

__all__ = ["DATASETS", "FACTS", "ImageDataset", "Sample", "dataset_root", "facts_of", "open_dataset"]


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
    "visa": VisADataset,
    "mpdd": MPDDDataset,
    "btad": BTADDataset,
    "domains": DomainsDataset,
    "shifted": ShiftedDataset,
}

FACTS: Mapping[str, Facts] = {
    "demo": Facts(textures=frozenset({"fabric", "mosaic", "plank"})),
    "mvtec": MVTEC_FACTS,
    "visa": VISA_FACTS,
    "mpdd": MPDD_FACTS,
    "btad": BTAD_FACTS,
}
"""What is published, by dataset."""


def facts_of(name: str) -> Facts:
    """What is published about a dataset; nothing where its classes are the user's own."""
    return FACTS.get(name, Facts())


def dataset_root(name: str, data_path: str | None) -> Path:
    """The folder of a dataset: as given, or ``$MOLEFLOW_DATA/<dataset>``.

    Raises:
        UsageError: neither is given.
    """
    if data_path:
        return Path(data_path)
    if "MOLEFLOW_DATA" in os.environ:
        return Path(os.environ["MOLEFLOW_DATA"]) / name
    raise UsageError(
        f"Dataset {name!r} needs --data_path FOLDER (or $MOLEFLOW_DATA/{name}); --preset demo needs no data."
    )


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
