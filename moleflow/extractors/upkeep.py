"""E4: what a feature cache holds, and how it is made smaller. Everything in it can be computed again."""

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

import numpy as np

from moleflow.utils.errors import MoleflowError, UsageError

FOLDER, FILE, LEFT = (re.compile(name) for name in (r"[0-9a-f]{16}", r"[0-9a-f]{64}\.npy", r"\.\d+-[0-9a-f]{16}\.tmp"))
"""Names of an extractor's folder, of an image's features, of what a killed writer leaves: nothing else is removed."""
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
        """H×W×D of its features, as far as its first file tells; looking at it is no use of it."""
        file = self.files[0].path
        try:
            before = file.stat()
            shape = np.load(file, mmap_mode="r", allow_pickle=False).shape
            with suppress(OSError):  # somebody else's file
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        except (OSError, ValueError, EOFError):
            return "?"
        return "×".join(map(str, shape))


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
    """Remove files, and what writers that were killed have left; folders stay, for a run may be about to write.

    A run that uses the cache meanwhile computes again what it misses.

    Raises:
        MoleflowError: a file cannot be removed; all others are.
    """
    refused: list[str] = []
    for path in [*(file.path for file in files), *_left(cache)]:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            refused.append(f"{path}: {error.strerror or error}")
    if refused:
        more = f" (and {len(refused) - 1:,} more)" if len(refused) > 1 else ""
        raise MoleflowError(f"cannot remove {refused[0]}{more}; what else was to go is gone")


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
    return f"{len(files):,} file{'s' * (len(files) != 1)} of features, {_mb(files)} MB"


def _is_folder(path: Path) -> bool:
    return bool(FOLDER.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()


def _files(folder: Path) -> Iterator[KeptFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # another call removes it just now
                    stat = entry.stat(follow_symlinks=False)
                    yield KeptFile(Path(entry.path), stat.st_size, max(stat.st_atime, stat.st_mtime))


def _left(cache: Path) -> list[Path]:
    """What was begun to be written more than a day ago."""
    left = []
    for folder in filter(_is_folder, cache.iterdir()):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # its writer has just given it its name
                stat = path.lstat()
                if LEFT.fullmatch(path.name) and S_ISREG(stat.st_mode) and time.time() - stat.st_mtime > DAY:
                    left.append(path)
    return left


def _last_used(folder: KeptFolder) -> float:
    return max(file.used for file in folder.files)


def _mb(files: Iterable[KeptFile]) -> str:
    return f"{sum(file.size for file in files) / 1e6:,.1f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, second, *numbers = zip(row, widths, strict=True)
    words = [cell.ljust(width) for cell, width in (first, second)]
    return "  ".join([*words, *(cell.rjust(width) for cell, width in numbers)]).rstrip()
