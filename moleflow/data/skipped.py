"""The images that a run left out: named in its results, and remembered where a later process does not meet them."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from moleflow.data.images import BadImage
from moleflow.data.sample import Sample
from moleflow.utils.io import as_written
from moleflow.utils.sums import Sums
from moleflow.utils.text import shown

FILE = "skipped.json"
"""Where a run keeps them."""

SHOWN = 50
"""Skipped images that are listed in a terminal."""


@dataclass(frozen=True)
class SkippedImage:
    """An image that was left out.

    Attributes:
        path: the file at fault, on one line; it may be the image's mask.
        class_name: the product.
        split: ``train`` or ``test``.
        reason: what is wrong with it.
    """

    path: str
    class_name: str
    split: str
    reason: str


class SkippedImages:
    """What was left out, by path; once it has a file, every change is on disk before whoever made it goes on.

    So an image that one process skipped is still named by the one that resumes its run, though that one may never look
    at it.
    """

    def __init__(self) -> None:
        self.images: dict[str, SkippedImage] = {}
        self._sums: Sums | None = None
        self._written: list[dict[str, str]] = []

    def keep_in(self, sums: Sums) -> None:
        """Add what a run's folder holds from before, and keep all there from now on.

        Raises:
            MoleflowError: it is damaged or cannot be written.
        """
        self._sums = sums
        if (file := sums.folder / FILE).exists():
            with as_written(file):
                earlier = [SkippedImage(**row) for row in sums.read_json(FILE)]
                self.images = {image.path: image for image in earlier} | self.images
                self._written = [asdict(image) for image in earlier]
        self._write()

    def note(self, samples: Iterable[Sample], bad: Iterable[BadImage], split: str) -> None:
        """Add images among samples that cannot be used."""
        owners = {path: sample for sample in samples for path in (sample.path, sample.mask)}
        for one in bad:
            name = owners[one.path].class_name
            self.images[shown(one.path)] = SkippedImage(shown(one.path), name, split, shown(one.reason))
        self._write()

    def forgive(self, samples: Iterable[Sample]) -> None:
        """Take out images that turned out to be sound."""
        for path in (path for sample in samples for path in (sample.path, sample.mask)):
            self.images.pop(shown(path), None)
        self._write()

    def of(self, classes: Collection[str]) -> dict[str, Any]:
        """``count`` and ``images`` of some classes, sorted by path: what results.json says of them."""
        images = [row for row in self._rows() if row["class_name"] in classes]
        return {"count": len(images), "images": images}

    def _rows(self) -> list[dict[str, str]]:
        return [asdict(self.images[path]) for path in sorted(self.images)]

    def _write(self) -> None:
        rows = self._rows()
        if self._sums is not None and rows != self._written:
            self._sums.write_json(FILE, rows)
            self._written = rows


def in_words(content: dict[str, Any]) -> Iterator[str]:
    """What ``SkippedImages.of`` gave: a sentence, and a line for each image; nothing where none was skipped."""
    count, images = content["count"], content["images"]
    if count:
        yield f"{count} image{'s were' if count > 1 else ' was'} skipped:"
    yield from (f"  cannot use image {row['path']}: {row['reason']}" for row in images[:SHOWN])
    if count > SHOWN:
        yield f"  and {count - SHOWN} more, which results.json names"
