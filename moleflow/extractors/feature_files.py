"""Features on disk: one small file an image, shared by all runs that use the same extractor."""

import io
import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import write_bytes

CHECKSUM_BYTES = 4
logger = logging.getLogger("moleflow")


class FeatureFiles:
    """A folder of features in fp16, each a .npy followed by the CRC-32 of its bytes.

    Files appear whole (temporary name, then rename), so concurrent runs can share a folder. A file's checksum is
    verified when this object looks at it first; after that it is only read.

    Everything here can be computed again, so a folder that cannot be read or written is no error: that is said once,
    and what is missing is computed whenever it is asked for.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        """Use a folder, which need not exist yet, for features of the shape (H, W, D)."""
        self.folder = folder
        self.shape = shape
        self._verified: dict[str, int] = {}
        self._gave_way = False

    def expect(self, keys: Iterable[str]) -> None:
        """Say that these features are about to be read: the disk is asked for all of them at once."""
        for key in keys:
            with suppress(OSError), self._opened(key) as file:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)

    def holds(self, key: str) -> bool:
        """Whether features are here and whole; False, with a warning, where they are damaged."""
        return key in self._verified or self._attempt(key, self._verify)

    def read(self, key: str, place: np.ndarray) -> bool:
        """Fill a place (H, W, D), fp16; False where features are missing or, with a warning, damaged."""
        return self.holds(key) and self._attempt(key, lambda name: self._fill(name, place))

    def _attempt(self, key: str, look: Callable[[str], bool]) -> bool:
        try:
            if look(key):
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            self._give_way(f"cannot read {self._path(key)}: {error.strerror or error}")
            return False
        self._verified.pop(key, None)
        logger.warning("cached features %s are damaged; computing them again", self._path(key))
        return False

    def _verify(self, key: str) -> bool:
        data = self._path(key).read_bytes()
        content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
        if checksum != _checksum(content):
            return False
        try:
            features = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError):
            return False
        if features.shape != self.shape or features.dtype != np.float16:
            return False
        self._verified[key] = len(data)
        return True

    def _fill(self, key: str, place: np.ndarray) -> bool:
        """Read a file that was verified; it may have been cut off since."""
        size = self._verified[key]
        with self._opened(key) as file:
            if os.fstat(file).st_size != size:
                return False
            start = size - CHECKSUM_BYTES - place.nbytes
            return os.preadv(file, [place.view(np.uint8).data], start) == place.nbytes

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        """A file's descriptor: a file object and a path object would take as long as the reading."""
        file = os.open(f"{self.folder}/{key}.npy", os.O_RDONLY)
        try:
            yield file
        finally:
            os.close(file)

    def write(self, key: str, features: np.ndarray) -> None:
        """Keep features (H, W, D) in fp16, unless the folder could not be used before."""
        if self._gave_way:
            return
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        content = buffer.getvalue()
        try:
            write_bytes(self._path(key), content + _checksum(content), durable=False)
        except MoleflowError as error:
            self._give_way(str(error))

    def _give_way(self, reason: str) -> None:
        if not self._gave_way:
            logger.warning(
                "warning: the feature cache cannot be used (%s): what it lacks is computed each time, which is slower; "
                "free space, or name another folder with --feature_cache",
                reason,
            )
        self._gave_way = True

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
