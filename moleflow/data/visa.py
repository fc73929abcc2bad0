"""VisA (Zou et al., ECCV 2022): twelve products, split by the published ``split_csv/1cls.csv``."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from moleflow.data.facts import Counts, Facts
from moleflow.data.folder import folders_in
from moleflow.data.sample import GOOD, Sample
from moleflow.utils.errors import UsageError

VISA_FACTS = Facts(
    counts={
        "candle": Counts(900, 100, 100),
        "capsules": Counts(542, 60, 100),
        "cashew": Counts(450, 50, 100),
        "chewinggum": Counts(453, 50, 100),
        "fryum": Counts(450, 50, 100),
        "macaroni1": Counts(900, 100, 100),
        "macaroni2": Counts(900, 100, 100),
        "pcb1": Counts(904, 100, 100),
        "pcb2": Counts(901, 100, 100),
        "pcb3": Counts(905, 101, 100),
        "pcb4": Counts(904, 101, 100),
        "pipe_fryum": Counts(450, 50, 100),
    },
    image_auroc={
        "candle": 98.6, "capsules": 81.6, "cashew": 97.3, "chewinggum": 99.1, "fryum": 96.2, "macaroni1": 97.5,
        "macaroni2": 78.1, "pcb1": 98.5, "pcb2": 97.3, "pcb3": 97.9, "pcb4": 99.6, "pipe_fryum": 99.8,
    },
)  # fmt: skip
"""Counts: 8659 train, 962 good, 1200 defective. AUROC: PatchCore, one model a class, mean 95.1."""

SPLIT = PurePosixPath("split_csv/1cls.csv")
COLUMNS = ("object", "split", "label", "image", "mask")
ANOMALY = "anomaly"
LAYOUT = f"{SPLIT} and <class>/Data/{{Images/Normal, Images/Anomaly, Masks/Anomaly}}, as published"


@dataclass(frozen=True)
class Row:
    """One image of the split file.

    Attributes:
        line: its line in the file.
        split: ``train`` or ``test``.
        sample: image and mask, which may not exist.
    """

    line: int
    split: str
    sample: Sample


class VisADataset:
    """Reader of the one-class split: ``split_csv/1cls.csv`` names every image, its split, its label and its mask.

    A class is there if the file lists it and its folder exists. The defect type of every defective image is
    ``anomaly``; one without a mask counts for image metrics only.

    Raises:
        UsageError: the file is missing or not as published, or no class is there.
    """

    name = "visa"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.split_file = root / SPLIT
        if not self.split_file.is_file():
            raise UsageError(self._not_found())
        self._rows = list(_read_rows(self.split_file, root))
        listed = {row.sample.class_name for row in self._rows}
        self.classes = tuple(name for name in VISA_FACTS.counts if name in listed and (root / name).is_dir())
        if not self.classes:
            raise UsageError(self._not_found())

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class, sorted by relative path.

        Raises:
            UsageError: the class is absent, has no training image, or the file names one that does not exist.
        """
        samples = self._samples(class_name, "train")
        if not samples:
            raise UsageError(f"{self.split_file} lists no training image of {class_name!r}")
        return samples

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class, good and defective, sorted by relative path.

        Raises:
            UsageError: the class is absent, or the file names an image or a mask that does not exist.
        """
        return self._samples(class_name, "test")

    def _samples(self, class_name: str, split: str) -> list[Sample]:
        if class_name not in self.classes:
            lacking = "" if (self.root / class_name).is_dir() else f" ({class_name}/ is missing)"
            raise UsageError(f"no class {class_name!r} in {self.root}{lacking}; found {', '.join(self.classes)}")
        rows = [row for row in self._rows if row.sample.class_name == class_name and row.split == split]
        self._refuse_missing(rows)
        return sorted((row.sample for row in rows), key=lambda sample: sample.path.as_posix())

    def _refuse_missing(self, rows: list[Row]) -> None:
        """Every file that the rows name is there."""
        named = [(row.line, path) for row in rows for path in (row.sample.path, row.sample.mask) if path is not None]
        missing = [(line, path) for line, path in named if not path.is_file()]
        if missing:
            line, path = missing[0]
            more = f" (and {len(missing) - 1} more of this class and split)" if len(missing) > 1 else ""
            raise UsageError(f"{self.split_file} names {path} in line {line}, which does not exist{more}")

    def _not_found(self) -> str:
        found = sorted(path.name + "/" * path.is_dir() for path in self.root.iterdir())
        mvtec_like = any((self.root / name / "train" / GOOD).is_dir() for name in folders_in(self.root))
        hint = "; this looks like a converted copy: read it with --dataset folder" if mvtec_like else ""
        listing = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        return f"no class of dataset 'visa' in {self.root}: expected {LAYOUT}; found {listing or 'nothing'}{hint}"


def _read_rows(file: Path, root: Path) -> Iterator[Row]:
    """The rows of a split file.

    Raises:
        UsageError: it cannot be read, or lacks a column, or a row makes no sense.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if lacking := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                found = ",".join(reader.fieldnames or ()) or "an empty file"
                raise UsageError(f"{file} has no column {lacking[0]!r}: expected {','.join(COLUMNS)}, found {found}")
            for fields in reader:
                yield _row(fields, reader.line_num, file, root)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the split file {file} cannot be read: {error}") from error


def _row(fields: dict[str, str | None], line: int, file: Path, root: Path) -> Row:
    place = f"line {line} of {file}"
    values = {name: (fields[name] or "").strip() for name in COLUMNS}
    for name, known in (("split", ("train", "test")), ("label", ("normal", ANOMALY))):
        if values[name] not in known:
            raise UsageError(f"{place} has {name} {values[name]!r}: expected {' or '.join(known)}")
    defective = values["label"] == ANOMALY
    if defective and values["split"] == "train":
        raise UsageError(f"{place} trains on an anomaly, {values['image']}: normal images alone are trained on")
    image = _inside(root, values["image"], place)
    mask = _inside(root, values["mask"], place) if defective and values["mask"] else None
    sample = Sample(image, values["object"], int(defective), ANOMALY if defective else GOOD, mask)
    return Row(line, values["split"], sample)


def _inside(root: Path, name: str, place: str) -> Path:
    """A file named relative to the root."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise UsageError(f"{place} names the file {name!r}: expected a path below {root}")
    return root / path
