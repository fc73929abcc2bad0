"""Images that are in two sets at once, found by their bytes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from moleflow.data.sample import Sample
from moleflow.utils.io import open_regular
from moleflow.utils.text import shown

HEAD = 1 << 16
"""Bytes that tell most different files of equal size apart."""


def duplicates(train: Sequence[Sample], test: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """Test images whose bytes are those of a training image.

    Files are compared by size, those of equal size by SHA-256 of their first ``HEAD`` bytes, and those still equal by
    SHA-256 of the whole. A copy that was stored anew in another format or quality is not found, nor are empty files and
    those that cannot be read.

    Returns:
        (the first such training sample, test sample), in the order of the test samples.
    """
    keys: dict[Path, object] = {}
    for key_of in (_size, _head, _whole):
        keys = {path: key_of(path) for path in {sample.path for sample in [*train, *test]}}
        shared = {keys[sample.path] for sample in train} & {keys[sample.path] for sample in test} - {None}
        train = [sample for sample in train if keys[sample.path] in shared]
        test = [sample for sample in test if keys[sample.path] in shared]
    first = {keys[sample.path]: sample for sample in reversed(train)}
    return [(first[keys[sample.path]], sample) for sample in test]


def leak(trained: Sample, tested: Sample, root: Path) -> str:
    """In words: which training image a test image is."""
    one, other = (sample.path.relative_to(root).as_posix() for sample in (tested, trained))
    same = "the same file" if one == other else f"byte for byte {other}"
    return f"test image {shown(one)} is trained on as well: {shown(same)}"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size or None
    except OSError:
        return None


def _head(path: Path) -> bytes | None:
    try:
        with open_regular(path) as file:
            return hashlib.sha256(file.read(HEAD)).digest()
    except OSError:
        return None


def _whole(path: Path) -> bytes | None:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
