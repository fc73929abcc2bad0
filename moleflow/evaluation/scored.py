"""What a detector said of a list of images, as one file of plain arrays: figures and tables are made from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moleflow.data.sample import Sample
from moleflow.utils.arrays import read_arrays, write_arrays

FIELDS = ("path", "class_name", "label", "defect", "mask")


@dataclass(frozen=True)
class Scored:
    """Images with the scores they got.

    Attributes:
        samples: the images.
        images: image scores (n,), higher is more anomalous.
        maps: pixel maps (n, h, h), higher is more anomalous.
    """

    samples: tuple[Sample, ...]
    images: np.ndarray
    maps: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """0 for good, 1 for defect, (n,)."""
        return np.array([sample.label for sample in self.samples], dtype=int)

    @property
    def defects(self) -> np.ndarray:
        """Type of each image's defect, ``good`` where it has none, (n,)."""
        return np.array([sample.defect for sample in self.samples])

    def save(self, file: Path) -> None:
        """Write the scores; maps in fp16."""
        rows = json.dumps([_row(sample) for sample in self.samples])
        write_arrays(file, samples=np.array(rows), images=self.images, maps=self.maps.astype(np.float16))

    @classmethod
    def load(cls, file: Path) -> "Scored":
        """Read what ``save`` wrote.

        Raises:
            MoleflowError: the file is missing or damaged.
        """

        def taken(stored: Mapping[str, np.ndarray]) -> "Scored":
            samples = tuple(_sample(row) for row in json.loads(str(stored["samples"])))
            return cls(samples, stored["images"], stored["maps"].astype(np.float32))

        return read_arrays(file, taken, "scores", "score the images again")


def _row(sample: Sample) -> list[Any]:
    return [str(value) if isinstance(value := getattr(sample, name), Path) else value for name in FIELDS]


def _sample(row: Sequence[Any]) -> Sample:
    path, class_name, label, defect, mask = row
    return Sample(Path(path), class_name, int(label), defect, Path(mask) if mask else None)
