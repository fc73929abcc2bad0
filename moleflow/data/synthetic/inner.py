"""The inner validation: a dataset made of normal training images alone, to choose settings with."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from moleflow.data.folder import FolderDataset
from moleflow.data.images import native_image
from moleflow.data.sample import Sample
from moleflow.data.splits import fingerprint
from moleflow.data.synthetic.anomaly import make_anomaly
from moleflow.data.synthetic.kinds import KINDS
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import TEMPORARY, read_json, write_bytes, write_json
from moleflow.utils.progress import progress
from moleflow.utils.seed import derive_seed
from moleflow.utils.text import refuse_unknown, shown

MANIFEST = "inner_validation.json"
SOURCES = "sources"
"""In its entry of a class: damaged image -> the training image it was; where nothing was held out."""


class NormalImages(Protocol):
    """What is asked of a dataset; nothing of its test split.

    Attributes:
        root: its folder.
    """

    root: Path

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images of a class."""
        ...


@dataclass(frozen=True)
class Recipe:
    """What an inner validation is made of.

    Attributes:
        seed: of the partition and of every anomaly.
        held_out: share of a class's normal training images that become test images. 0: none does, and any may be
            damaged: for judging runs that have learned from them (``moleflow.registry.inside``).
        per_kind: anomalies of each kind; the held-out images are damaged in turn, or all images, evenly spread.
        kinds: some of ``KINDS``.

    Raises:
        UsageError: a kind is unknown or listed twice, or a number is out of its range.
    """

    seed: int = 0
    held_out: float = 0.2
    per_kind: int = 20
    kinds: tuple[str, ...] = tuple(KINDS)

    def __post_init__(self) -> None:
        refuse_unknown("--kinds", self.kinds, KINDS)
        if not 0 <= self.held_out < 1:
            raise UsageError(f"--held_out expects a share from 0 to below 1, found {self.held_out}.")
        if self.per_kind < 1 or self.seed < 0:
            found = f"{self.per_kind} and {self.seed}"
            raise UsageError(f"--per_kind expects a number from 1 up and --seed one from 0 up, found {found}.")


class Job(NamedTuple):
    """One image to write.

    Attributes:
        place: where to, in the class's folder.
        sample: the normal image.
        kind: what to do to it; empty: nothing.
        number: of the anomaly among its kind's.
    """

    place: str
    sample: Sample
    kind: str = ""
    number: int = 0


def write_inner(dataset: NormalImages, classes: Sequence[str], root: Path, recipe: Recipe) -> Path:
    """Write each class in the MVTec layout, and ``inner_validation.json``; ``root`` is returned.

    ``train/good`` and ``test/good`` are the two parts of the class's normal training images (hard links, or copies
    where the disk has none), ``test/<kind>`` and ``ground_truth/<kind>`` the anomalies and their masks. An anomaly
    depends on the seed, its image's path, its kind and its number; its donor is one of the images in ``train/good``.
    Files that are there are kept, so an interrupted call goes on where it stopped.

    Args:
        dataset: where normal images come from.
        classes: what to write of it.
        root: folder to write into; new, or begun with the same recipe.
        recipe: how.

    Raises:
        UsageError: ``root`` holds something else, a class has one image only, or a kind does not show on an image.
        BadImage: an image cannot be read.
    """
    book = _begun(root, {**asdict(recipe), "kinds": list(recipe.kinds)})
    for name in classes:
        kept, held_out = partition(dataset, name, recipe)
        entry = _entry(dataset.root, kept, held_out, recipe)
        if book["classes"].setdefault(name, entry) != entry:
            raise UsageError(f"{shown(root)} was made from other images of {name!r}: choose another folder")
        write_json(root / MANIFEST, book)
        for left in (root / name).rglob(TEMPORARY):  # by a call that was killed
            left.unlink(missing_ok=True)
        jobs = _jobs(kept, held_out, recipe)
        for job in progress(jobs, len(jobs), name, "image"):
            _write(job, dataset.root, kept, root / name, recipe.seed)
    return root


def partition(dataset: NormalImages, class_name: str, recipe: Recipe) -> tuple[list[Sample], list[Sample]]:
    """A class's normal training images in two: kept for training, held out. Both are sorted by path.

    Raises:
        UsageError: the class has fewer than two.
    """
    samples = sorted(dataset.train(class_name), key=lambda sample: sample.path)
    if len(samples) < 2:
        raise UsageError(f"class {class_name!r} has {len(samples)} normal training image: expected two or more")
    rng = np.random.default_rng(derive_seed(recipe.seed, "inner validation", class_name))
    count = min(max(1, round(recipe.held_out * len(samples))), len(samples) - 1) if recipe.held_out else 0
    chosen = set(rng.permutation(len(samples))[:count].tolist())
    kept, held_out = (
        [sample for index, sample in enumerate(samples) if (index in chosen) is out] for out in (False, True)
    )
    return kept, held_out


class Damaged(NamedTuple):
    """A damaged training image.

    Attributes:
        sample: itself.
        source: path of the image it was, under the root of its dataset.
    """

    sample: Sample
    source: str


def read_damaged(root: Path, dataset: NormalImages, class_name: str) -> list[Damaged]:
    """The damaged images of a class whose normal ones a dataset's training split holds.

    Args:
        root: what ``write_inner`` has written with nothing held out.
        dataset: where its normal images came from.
        class_name: the class.

    Raises:
        UsageError: it was written otherwise, or from other images.
        MoleflowError: its manifest is damaged.
    """
    entry = _read(root)["classes"].get(class_name) if (root / MANIFEST).exists() else None
    if entry is None or SOURCES not in entry:
        raise UsageError(
            f"{shown(root)} holds no damaged training images of {class_name!r}: make them with "
            "scripts/make_inner_validation.py --held_out 0"
        )
    if entry["sha256"] != fingerprint(dataset.root, sorted(dataset.train(class_name), key=lambda sample: sample.path)):
        raise UsageError(f"{shown(root)} was made from other images of {class_name!r}: make it anew from these")
    found = {sample.path.relative_to(root / class_name).as_posix(): sample for sample in _there(root, class_name)}
    if found.keys() != entry[SOURCES].keys():
        raise UsageError(
            f"{shown(root)} was to hold {len(entry[SOURCES])} damaged images of {class_name!r}, and does not hold all "
            "of them, or others: call scripts/make_inner_validation.py again as before, or make it anew"
        )
    return [Damaged(sample, entry[SOURCES][place]) for place, sample in found.items()]


def _there(root: Path, class_name: str) -> list[Sample]:
    """The damaged images of a class that are there; a class that is only begun may lack its folders."""
    return FolderDataset(root).test(class_name) if (root / class_name / "train").is_dir() else []


def _begun(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest in ``root``, or a new one where the folder is new or empty."""
    if not (root / MANIFEST).exists():
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise UsageError(f"{shown(root)} is no inner validation and not empty: choose another folder")
        return {"settings": dict(settings), "classes": {}}
    book = _read(root)
    if book.get("settings") != settings:
        raise UsageError(
            f"{shown(root)} was made with {book.get('settings')}, asked for is {dict(settings)}: choose another folder"
        )
    return book


def _read(root: Path) -> dict[str, Any]:
    """The manifest in ``root``."""
    book = read_json(root / MANIFEST)
    if not isinstance(book, dict) or not isinstance(book.get("classes"), dict):
        raise MoleflowError(f"{shown(root / MANIFEST)} is damaged: write the inner validation into a new folder")
    return book


def _entry(source: Path, kept: Sequence[Sample], held_out: Sequence[Sample], recipe: Recipe) -> dict[str, Any]:
    """What the manifest says of a class."""
    jobs = _jobs(kept, held_out, recipe)
    sources = {job.place: _relative(source, job.sample) for job in jobs if job.kind}
    return {
        "source": str(source.resolve()), "sha256": fingerprint(source, [*kept, *held_out]),
        "counts": Counter(job.place.rsplit("/", 1)[0] for job in jobs),
        "held_out": [_relative(source, sample) for sample in held_out],
        **({} if held_out else {SOURCES: sources}),
    }  # fmt: skip


def _jobs(kept: Sequence[Sample], held_out: Sequence[Sample], recipe: Recipe) -> list[Job]:
    places = [(kind, number) for number in range(recipe.per_kind) for kind in recipe.kinds]
    spread = {place: kept[index * len(kept) // len(places)] for index, place in enumerate(places)}
    return [
        *(Job(f"train/good/{sample.path.name}", sample) for sample in kept),
        *(Job(f"test/good/{sample.path.name}", sample) for sample in held_out),
        *(
            Job(
                f"test/{kind}/{number:03}.png",
                held_out[number % len(held_out)] if held_out else spread[kind, number],
                kind,
                number,
            )
            for kind in recipe.kinds
            for number in range(recipe.per_kind)
        ),
    ]


def _write(job: Job, source: Path, donors: Sequence[Sample], folder: Path, seed: int) -> None:
    """Write one image, after its mask, unless it is there."""
    file = folder / job.place
    if file.exists():
        return
    if not job.kind:
        return _link(job.sample.path, file)
    own = derive_seed(seed, _relative(source, job.sample), job.kind, str(job.number))
    others = [donor for donor in donors if donor is not job.sample]
    donor = others[own % len(others)]
    try:
        made = make_anomaly(job.kind, native_image(job.sample.path), native_image(donor.path), own)
    except UsageError as error:
        raise UsageError(f"{shown(job.sample.path)}: {error}") from error
    truth = folder / job.place.replace("test/", "ground_truth/", 1)
    _save(made.mask.astype(np.uint8) * 255, truth.with_stem(f"{truth.stem}_mask"))
    _save(made.image, file)


def _link(path: Path, file: Path) -> None:
    """The same file under another name; a copy where the system refuses that, as between two disks."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.hardlink_to(path.resolve())
    except OSError:
        write_bytes(file, path.read_bytes())


def _save(pixels: np.ndarray, file: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="png", compress_level=3)
    write_bytes(file, data.getvalue())


def _relative(source: Path, sample: Sample) -> str:
    return sample.path.relative_to(source).as_posix()
