"""A disk that fails on the n-th thing asked of it, inside this process."""

import builtins
import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


@dataclass
class Disk:
    """Counts what is asked of files below a folder, and fails the n-th time.

    Attributes:
        folder: where it counts.
        fails_at: the first time that fails, from 0; None never fails.
        error: ENOSPC stays, as a full disk does; EIO comes once.
        only: a pattern of the files it counts.
        asked: what was asked so far, as (operation, file).
    """

    folder: Path
    fails_at: int | None = None
    error: int = errno.ENOSPC
    only: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def ask(self, operation: str, path: Any) -> None:
        """Count, and fail when it is time."""
        if not self.watches(path):
            return
        number = len(self.asked)
        name = os.path.relpath(os.fsdecode(path), self.folder)
        self.asked.append((operation, re.sub(r"\d+-[0-9a-f]+\.tmp", "tmp", name)))
        late = self.fails_at is not None and number >= self.fails_at
        if late and (self.error == errno.ENOSPC or number == self.fails_at):
            raise OSError(self.error, os.strerror(self.error), os.fsdecode(path))

    def watches(self, path: Any) -> bool:
        """Whether a file lies below the folder and is one of those counted."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        file = Path(os.fsdecode(path)).absolute()
        return file.is_relative_to(self.folder) and bool(re.search(self.only, str(file)))


class Written:
    """A file open for writing whose every write, flush and close asks the disk."""

    ASKING: ClassVar = {"write", "writelines", "flush", "truncate"}

    def __init__(self, file: Any, path: Any, disk: Disk):
        self._file, self._path, self._disk = file, path, disk

    def __getattr__(self, name: str) -> Any:
        if name in self.ASKING:
            self._disk.ask(name, self._path)
        return getattr(self._file, name)

    def close(self) -> None:
        """The last bytes may fail to reach the disk."""
        if not self._file.closed:
            self._file.close()
            self._disk.ask("close", self._path)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Let every file below the disk's folder live on it: ``open`` for writing, ``fsync``, renames, new folders."""
    real = {"open": io.open, "fsync": os.fsync, "replace": os.replace, "mkdir": os.mkdir}

    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if not set(mode) & set("wax+") or not disk.watches(file):
            return real["open"](file, mode, *args, **kwargs)
        disk.ask("open", file)
        return Written(real["open"](file, mode, *args, **kwargs), file, disk)

    def synced(descriptor: int) -> None:
        disk.ask("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
        real["fsync"](descriptor)

    def renamed(source: Any, target: Any, **kwargs: Any) -> None:
        disk.ask("rename", target)
        real["replace"](source, target, **kwargs)

    def made(path: Any, *args: Any, **kwargs: Any) -> None:
        if not os.path.isdir(path):
            disk.ask("mkdir", path)
        real["mkdir"](path, *args, **kwargs)

    places: list[tuple[Any, str, Callable[..., Any]]] = [
        (io, "open", opened),
        (builtins, "open", opened),
        (os, "fsync", synced),
        (os, "replace", renamed),
        (os, "mkdir", made),
    ]
    try:
        for owner, name, stand_in in places:
            setattr(owner, name, stand_in)
        yield disk
    finally:
        for owner, name, _ in places:
            setattr(owner, name, real[name])
