"""What is wrong with a dataset's files: missing, unreadable, empty masks, duplicates between train and test."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from moleflow.data.datasets import ImageDataset
from moleflow.data.duplicates import duplicates, leak
from moleflow.data.facts import Counts, Facts
from moleflow.data.images import BadImage, check_sample, defect_area, load_image
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.io import open_regular
from moleflow.utils.text import did_you_mean, shown

FEWEST = 2
"""Normal images that a class needs: one to train on, one to hold out for its threshold."""

SHOWN = 10
"""Problems of a class that are printed."""

ENDS = {b"\x89PNG": b"IEND", b"\xff\xd8": b"\xff\xd9"}
"""First bytes of a file -> what it has near its end if it is whole."""

TAIL = 1024
"""Bytes in which that end is looked for: programs append some of their own."""


@dataclass
class ClassCheck:
    """What was found of one class.

    Attributes:
        name: the class.
        official: the published counts, if there are any.
        train, good, defective: images found, normal ones for training and those for testing.
        masks: defective images that have a mask.
        problems: one sentence each.
    """

    name: str
    official: Counts | None = None
    train: int = 0
    good: int = 0
    defective: int = 0
    masks: int = 0
    problems: list[str] = field(default_factory=list)


def check_dataset(
    dataset: ImageDataset, facts: Facts, classes: Sequence[str] = (), decode: bool = False, workers: int = 2
) -> list[ClassCheck]:
    """Look at every file of some classes.

    Of images, headers and ends are read, of masks everything; contents are compared where files are of equal size. So
    an image that is damaged in its middle is found with ``decode`` only.

    Args:
        dataset: the images.
        facts: what is published about them.
        classes: which ones; empty: all that are there, that are published, or that look begun.
        decode: read every pixel (minutes for a large set).
        workers: threads that read.

    Raises:
        UsageError: a class is neither there nor published.
    """
    checks: list[ClassCheck] = []
    everything: tuple[list[Sample], list[Sample]] = ([], [])
    with ThreadPoolExecutor(workers) as pool:
        for name in _asked(dataset, facts, classes):
            check = ClassCheck(name, facts.counts.get(name))
            train, test = _list_class(dataset, check)
            check.problems += filter(None, pool.map(partial(_damage, decode=decode), train + test))
            checks.append(check)
            everything[0].extend(train)
            everything[1].extend(test)
    _note_duplicates(checks, *everything, dataset.root)
    return checks


def _asked(dataset: ImageDataset, facts: Facts, classes: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys([*facts.counts, *dataset.classes, *_begun(dataset, facts)]))
    for name in classes:
        if name not in known:
            raise UsageError(
                f"unknown class {name!r}, expected some of {shown(', '.join(known))}{did_you_mean(name, known)}"
            )
    return list(dict.fromkeys(classes)) or known


def _begun(dataset: ImageDataset, facts: Facts) -> list[str]:
    """Folders that look like classes of a user's own dataset, but lack their training images."""
    if facts.counts:
        return []
    return sorted(path.name for path in dataset.root.iterdir() if (path / "train").is_dir() or (path / "test").is_dir())


def _list_class(dataset: ImageDataset, check: ClassCheck) -> tuple[list[Sample], list[Sample]]:
    """The training and the test samples of a class; their counts, and what those lack, are noted."""
    if not (dataset.root / check.name).is_dir():
        check.problems.append("its folder is missing")
        return [], []
    train = _listed(dataset.train, check)
    test = _listed(dataset.test, check) if check.name in dataset.classes else []
    check.train = len(train)
    check.good = sum(sample.label == 0 for sample in test)
    check.defective = len(test) - check.good
    check.masks = sum(sample.mask is not None for sample in test)
    if not check.problems:  # else the cause has been named already
        check.problems += _count_problems(check)
    return train, test


def _listed(read: Callable[[str], list[Sample]], check: ClassCheck) -> list[Sample]:
    try:
        return read(check.name)
    except UsageError as error:
        check.problems.append(str(error))
        return []


def _count_problems(check: ClassCheck) -> Iterator[str]:
    if check.train < FEWEST:
        yield f"{check.train} normal training image found: {FEWEST} are needed, one to train on and one to hold out"
    for kind, found, published in _counts(check):
        if published is not None and found != published:
            yield f"{found} {kind} images found, {published} published"


def _counts(check: ClassCheck) -> list[tuple[str, int, int | None]]:
    """(kind, images found, images published) of a class."""
    official = check.official or Counts()
    return [
        ("normal training", check.train, official.train),
        ("normal test", check.good, official.good),
        ("defective test", check.defective, official.defective),
    ]


def _damage(sample: Sample, decode: bool) -> str | None:
    """What is wrong with a sample's files."""
    try:
        check_sample(sample)
        if decode or not _ends_well(sample.path):
            load_image(sample.path, 16, "squash")
        if sample.mask and not defect_area(sample.mask):
            return f"mask {shown(sample.mask)} of a defective image is empty: mark the defect in it, or take it away"
    except BadImage as bad:
        return str(bad)
    except OSError as error:  # it was there a moment ago
        return str(BadImage(sample.path, f"the system cannot read it ({error.strerror})"))
    return None


def _ends_well(path: Path) -> bool:
    """Whether a file is of a format whose end is known and has that end, so that it was not cut short."""
    with open_regular(path) as file:
        head = file.read(TAIL)
        file.seek(max(0, path.stat().st_size - TAIL))
        tail = file.read()
    if head.startswith(b"BM"):
        return path.stat().st_size >= int.from_bytes(head[2:6], "little") > 0
    return any(head.startswith(start) and end in tail for start, end in ENDS.items())


def _note_duplicates(checks: Sequence[ClassCheck], train: list[Sample], test: list[Sample], root: Path) -> None:
    """Add to each class its test images that are trained on as well, in whichever class."""
    by_name = {check.name: check for check in checks}
    for trained, tested in duplicates(train, test):
        by_name[tested.class_name].problems.append(leak(trained, tested, root))


def describe(checks: Sequence[ClassCheck]) -> Iterator[str]:
    """The checks in words: a table of classes, what is wrong with each, and the sum of it, line by line."""
    names = {check.name: shown(check.name) for check in checks}
    width = max(map(len, names.values()))
    yield f"{'class':{width}}  {'train':>9}  {'test good':>9}  {'defective':>9}  {'masks':>5}"
    for check in checks:
        cells = [str(found) if published is None else f"{found}/{published}" for _, found, published in _counts(check)]
        state = f"{len(check.problems)} problem{'s' * (len(check.problems) > 1)}" if check.problems else "complete"
        yield f"{names[check.name]:{width}}  {'  '.join(f'{cell:>9}' for cell in cells)}  {check.masks:>5}  {state}"
    for check in checks:
        yield from (f"{names[check.name]}: {problem}" for problem in check.problems[:SHOWN])
        if (more := len(check.problems) - SHOWN) > 0:
            yield f"{names[check.name]}: and {more} more"
    bad = sum(bool(check.problems) for check in checks)
    images = sum(check.train + check.good + check.defective for check in checks)
    classes = f"{len(checks)} class{'es' * (len(checks) != 1)}"
    yield f"{images} images of {classes}: {f'{bad} with problems' if bad else 'complete'}"
