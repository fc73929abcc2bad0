"""One writer a run: an advisory lock on ``.lock`` in the run's folder, which the system drops when its holder dies."""

import fcntl
import os
import platform
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from moleflow.utils.errors import UsageError

LOCK = ".lock"


class RunLock:
    """The right to write a run's folder, held until ``release`` or until the process ends, however it ends.

    The file stays: removing it would let two processes lock two files of one name.

    Args:
        path: the run's folder; it is made if it is not there.

    Raises:
        UsageError: another process holds the lock, or the folder cannot be written.
    """

    def __init__(self, path: Path):
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._file = (path / LOCK).open("a+b", buffering=0)
        except OSError as error:
            raise UsageError(
                f"The run folder {path} cannot be written ({error.strerror}); give one that can."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = self._holder()
            self._file.close()
            if not isinstance(error, BlockingIOError):
                raise UsageError(
                    f"The run folder {path} cannot be locked ({error.strerror}); use a local disk."
                ) from error
            raise UsageError(
                f"Another process{holder} is writing to the run in {path}; wait for it, or use another run folder."
            ) from error
        with suppress(OSError):  # a full disk: the lock holds, only whose it is stays unsaid
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {platform.node()}\n".encode())

    def release(self) -> None:
        """Let others write."""
        self._file.close()

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _holder(self) -> str:
        self._file.seek(0)
        named = self._file.read(200).decode(errors="replace").strip()
        return f" ({named})" if named.isprintable() and named else ""
