"""A shifted domain that lies on disk: ``shift_map.json`` and the images it lists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moleflow.data.sample import Sample
from moleflow.data.splits import PARTS, Split
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json
from moleflow.utils.text import did_you_mean

MAP = "shift_map.json"


class ShiftedDataset:
    """Reader of ``<class>/<part>/{images,masks}/<name>_shifted.png``, with the parts of the split they were made from.

    Labels, types of defects and masks come from ``shift_map.json``; a class that is not finished is none.

    Attributes:
        root: the folder.
        classes: the products, in the order in which they were written.
        settings: severity, transforms and seed.

    Raises:
        UsageError: there is no map under ``root``, or no class in it.
        MoleflowError: the map is damaged.
    """

    name = "shifted"

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / MAP).is_file():
            raise UsageError(
                f"no shifted domain in {root}: expected {MAP} and <class>/<part>/images/*_shifted.png; "
                "give the folder that scripts/make_shifted.py wrote (one severity's)"
            )
        book = read_map(root)
        self.settings: Mapping[str, Any] = book["settings"]
        self._images: dict[str, Mapping[str, Any]] = {
            name: entry["images"] for name, entry in book["classes"].items() if entry["images"]
        }
        self.classes = tuple(self._images)
        if not self.classes:
            raise UsageError(f"{root / MAP} lists no finished class: run scripts/make_shifted.py again, it continues")

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class. Raises UsageError where the class is absent, as all of these."""
        return self._part(class_name, "train")

    def val(self, class_name: str) -> list[Sample]:
        """Images to set thresholds with, good and defective."""
        return self._part(class_name, "val")

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class, good and defective."""
        return self._part(class_name, "test")

    def split(self, class_name: str) -> Split:
        """The three parts of a class."""
        return Split(class_name, *(tuple(self._part(class_name, part)) for part in PARTS))

    def _part(self, class_name: str, part: str) -> list[Sample]:
        if class_name not in self._images:
            found, hint = ", ".join(self.classes), did_you_mean(class_name, self.classes)
            raise UsageError(f"no class {class_name!r} in {self.root}, found {found}{hint}")
        folder, images = self.root / class_name, self._images[class_name]
        return [
            Sample(folder / place, class_name, entry["label"], entry["defect"], _under(folder, entry["mask"]))
            for place, entry in sorted(images.items())
            if place.split("/")[0] == part
        ]


def read_map(root: Path) -> dict[str, Any]:
    """``{"settings": {…}, "classes": {name: {"sources": {part: sha256}, "images": {place: {…}}}}}`` of a domain.

    Raises:
        MoleflowError: it is missing or damaged.
    """
    book = read_json(root / MAP)
    if not isinstance(book, dict) or not {"settings", "classes"} <= book.keys():
        raise MoleflowError(f"{root / MAP} is no map of a shifted domain: write the domain again into an empty folder")
    return book


def _under(folder: Path, place: str | None) -> Path | None:
    return folder / place if place else None
