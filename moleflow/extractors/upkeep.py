"""E4: what a feature cache holds, and how it is made smaller. Everything in it can be computed again."""

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import TEMPORARY

FOLDER, FILE = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{64}\.npy")
"""Names of an extractor's folder and of an image's features: nothing else in a cache is touched."""
DAY = 86_400.0
GB = 1e9


class KeptFile(NamedTuple):
    """Features of one image.

    Attributes:
        path: their file.
        size: its bytes.
        used: seconds since the epoch when it was read last, as far as the system notes that (most do once a day, some
            never), or written.
    """

    path: Path
    size: int
    used: float


@dataclass(frozen=True)
class KeptFolder:
    """Features by one extractor.

    Attributes:
        path: their folder, named by the extractor's fingerprint.
        files: one an image, and at least one.
    """

    path: Path
    files: Sequence[KeptFile]

    @property
    def shape(self) -> str:
        """H×W×D of its features, as far as its first file tells."""
        try:
            return "×".join(map(str, np.load(self.files[0].path, mmap_mode="r", allow_pickle=False).shape))
        except (OSError, ValueError, EOFError):
            return "?"


def kept_folders(cache: Path) -> list[KeptFolder]:
    """The extractors whose features a cache holds, the one used last first.

    Raises:
        UsageError: there is no such folder.
        MoleflowError: it cannot be read.
    """
    if not cache.is_dir():
        raise UsageError(f"There is no folder {cache}: give that of a feature cache with --dir.")
    try:
        folders = [KeptFolder(path, list(_files(path))) for path in cache.iterdir() if _is_folder(path)]
    except OSError as error:
        raise MoleflowError(f"cannot read {cache}: {error.strerror or error}") from error
    return sorted((folder for folder in folders if folder.files), key=_last_used, reverse=True)


def superfluous(folders: Iterable[KeptFolder], unused_days: float | None, max_gb: float | None) -> list[KeptFile]:
    """What may go: files not used for so many days, then those not used for longest, until the rest is small enough.

    Args:
        folders: what there is.
        unused_days: None: age alone is no reason.
        max_gb: GB (10⁹ bytes) that may stay; None: any number.
    """
    newest_first = sorted((file for folder in folders for file in folder.files), key=lambda file: -file.used)
    oldest = -np.inf if unused_days is None else time.time() - unused_days * DAY
    room = np.inf if max_gb is None else max_gb * GB
    gone: list[KeptFile] = []
    for file in newest_first:
        room -= file.size
        if file.used < oldest or room < 0:
            gone.append(file)
    return gone


def remove(cache: Path, files: Iterable[KeptFile]) -> None:
    """Remove files, what writers that were killed have left, and folders that are empty then.

    A run that uses the cache meanwhile computes again what it misses.

    Raises:
        MoleflowError: a file cannot be removed.
    """
    try:
        for file in files:
            file.path.unlink(missing_ok=True)
        for folder in filter(_is_folder, list(cache.iterdir())):
            _remove_left(folder)
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise MoleflowError(f"cannot remove {error.filename}: {error.strerror or error}") from error


def as_table(folders: Sequence[KeptFolder]) -> str:
    """One line an extractor: its folder, the shape of its features, images, MB, the day it was last used; the sum."""
    rows = [("extractor", "features", "images", "MB", "last used")]
    for folder in folders:
        day = time.strftime("%Y-%m-%d", time.localtime(_last_used(folder)))
        rows.append((folder.path.name, folder.shape, f"{len(folder.files):,}", _mb(folder.files), day))
    everything = [file for folder in folders for file in folder.files]
    rows.append(("all", "", f"{len(everything):,}", _mb(everything), ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def told(files: Sequence[KeptFile]) -> str:
    """Files in words."""
    return f"features of {len(files):,} image{'s' * (len(files) != 1)}, {_mb(files)} MB"


def _is_folder(path: Path) -> bool:
    return bool(FOLDER.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _files(folder: Path) -> Iterator[KeptFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                yield KeptFile(Path(entry.path), stat.st_size, max(stat.st_atime, stat.st_mtime))


def _remove_left(folder: Path) -> None:
    """Remove what was being written more than a day ago."""
    for left in folder.glob(TEMPORARY):
        if time.time() - left.lstat().st_mtime > DAY:
            left.unlink(missing_ok=True)


def _last_used(folder: KeptFolder) -> float:
    return max(file.used for file in folder.files)


def _mb(files: Iterable[KeptFile]) -> str:
    return f"{sum(file.size for file in files) / 1e6:,.1f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, second, *numbers = zip(row, widths, strict=True)
    words = [cell.ljust(width) for cell, width in (first, second)]
    return "  ".join([*words, *(cell.rjust(width) for cell, width in numbers)]).rstrip()
