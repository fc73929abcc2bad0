"""Images of one product, partitioned anew into three parts: to train on, to set thresholds with, to test on."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from moleflow.data.sample import Sample
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, sha256_of, write_json
from moleflow.utils.seed import derive_seed

PARTS = ("train", "val", "test")
SEED = 42
TRAIN_SHARE = 0.8
"""Of the normal training images, for training; the others are for thresholds."""

DEFECT_SHARE = 0.3
"""Of the defective test images, for thresholds; the others are for testing, with all normal test images."""


@dataclass(frozen=True)
class Split:
    """One class's images in three parts that share no image.

    Attributes:
        class_name: the product.
        train: normal images.
        val: normal and defective images; thresholds may be set with their labels, nothing is trained on them.
        test: normal and defective images; nothing is chosen with them.
    """

    class_name: str
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    def part(self, name: str) -> tuple[Sample, ...]:
        """The samples of one of ``PARTS``."""
        return {"train": self.train, "val": self.val, "test": self.test}[name]


class Records(Protocol):
    """What a split asks of a dataset."""

    @property
    def root(self) -> Path:
        """Its folder."""
        ...

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class."""
        ...

    def test(self, class_name: str) -> list[Sample]:
        """Test images of a class, good and defective."""
        ...


def make_split(dataset: Records, class_name: str, seed: int = SEED) -> Split:
    """Partition a class: ``TRAIN_SHARE`` of its normal training images | the others, and ``DEFECT_SHARE`` of its
    defective test images | the remaining test images.

    The share of defects is exact in sum and spread evenly over the types. Chance depends on the seed, the class and
    the images' relative paths only. Every part is sorted by relative path.

    Raises:
        UsageError: the class has fewer than two normal training images.
    """
    train, test = (_sorted(dataset, samples) for samples in (dataset.train(class_name), dataset.test(class_name)))
    if len(train) < 2:
        raise UsageError(
            f"class {class_name!r} in {dataset.root} has {len(train)} normal training image: "
            "a split needs two or more, one to train on and one to set a threshold with"
        )
    rng = np.random.default_rng(derive_seed(seed, "split", class_name))
    held_out = {train[place] for place in rng.permutation(len(train))[: max(1, round((1 - TRAIN_SHARE) * len(train)))]}
    shown = set(_spread(test, rng))
    return Split(
        class_name,
        tuple(sample for sample in train if sample not in held_out),
        tuple(_sorted(dataset, [*held_out, *shown])),
        tuple(sample for sample in test if sample not in shown),
    )


def open_split(dataset: Records, class_name: str, folder: Path, seed: int = SEED) -> Split:
    """The split in ``folder/<class>.json``; made and written there if there is none, never made anew otherwise.

    Raises:
        UsageError: the stored split has another seed, or is of other images (names, labels or contents).
        MoleflowError: the file is damaged or cannot be written.
    """
    file = folder / f"{class_name}.json"
    if not file.exists():
        write_json(file, _content(dataset, make_split(dataset, class_name, seed), seed))
    stored = read_json(file)
    _refuse_others(file, stored, dataset, class_name, seed)
    samples = {_place(dataset, sample): sample for sample in _samples(dataset, class_name)}
    try:
        train, val, test = (tuple(samples[place] for place in stored[part]) for part in PARTS)
    except (KeyError, TypeError) as error:
        raise MoleflowError(f"{file} holds no split of {class_name!r} ({error}): restore or delete it") from error
    return Split(class_name, train, val, test)


def fingerprint(root: Path, samples: Sequence[Sample]) -> str:
    """SHA-256 over the path under ``root``, label, defect type and content of every image, and its mask's content.

    Raises:
        MoleflowError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for sample in samples:
        mask = sha256_of(sample.mask) if sample.mask else ""
        facts = [
            sample.path.relative_to(root).as_posix(),
            str(sample.label),
            sample.defect,
            sha256_of(sample.path),
            mask,
        ]
        digest.update("\x1f".join([*facts, "\n"]).encode())
    return digest.hexdigest()


def _spread(test: Sequence[Sample], rng: np.random.Generator) -> list[Sample]:
    """``DEFECT_SHARE`` of the defective images: each type's are shuffled and laid evenly on 0..1, the lowest taken."""
    placed: list[tuple[float, Sample]] = []
    for kind in sorted({sample.defect for sample in test if sample.label}):
        own = [sample for sample in test if sample.label and sample.defect == kind]
        ranks = (rng.permutation(len(own)) + rng.random()) / len(own)
        placed += zip(ranks.tolist(), own, strict=True)
    placed.sort(key=lambda pair: pair[0])
    return [sample for _, sample in placed[: round(DEFECT_SHARE * len(placed))]]


def _content(dataset: Records, split: Split, seed: int) -> dict[str, Any]:
    counts = {part: dict(sorted(Counter(sample.defect for sample in split.part(part)).items())) for part in PARTS}
    return {
        "class": split.class_name, "seed": seed, "train_share": TRAIN_SHARE, "defect_share": DEFECT_SHARE,
        "sha256": fingerprint(dataset.root, _samples(dataset, split.class_name)), "counts": counts,
        **{part: [_place(dataset, sample) for sample in split.part(part)] for part in PARTS},
    }  # fmt: skip


def _refuse_others(file: Path, stored: Any, dataset: Records, class_name: str, seed: int) -> None:
    found = stored if isinstance(stored, dict) else {}
    if found.get("seed") != seed:
        raise UsageError(
            f"{file} was split with seed {found.get('seed')}, expected {seed}: ask for its seed, "
            "or keep the new split in another folder"
        )
    if found.get("sha256") != fingerprint(dataset.root, _samples(dataset, class_name)):
        raise UsageError(
            f"{file} is a split of other images of {class_name!r} than those now in {dataset.root}: "
            "restore the images, or keep the new split in another folder"
        )


def _samples(dataset: Records, class_name: str) -> list[Sample]:
    return _sorted(dataset, [*dataset.train(class_name), *dataset.test(class_name)])


def _sorted(dataset: Records, samples: Sequence[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: _place(dataset, sample))


def _place(dataset: Records, sample: Sample) -> str:
    return sample.path.relative_to(dataset.root).as_posix()
