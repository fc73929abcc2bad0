"""Features on disk: one small file an image, shared by all runs that use the same extractor."""

import io
import logging
import zlib
from pathlib import Path

import numpy as np

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import write_bytes

CHECKSUM_BYTES = 4
logger = logging.getLogger("moleflow")


class FeatureFiles:
    """A folder of features in fp16, each a .npy followed by the CRC-32 of its bytes.

    Files appear whole (temporary name, then rename), so concurrent runs can share a folder. A file's checksum is
    verified when this object reads it first; after that it is only mapped into memory.

    Everything here can be computed again, so a folder that cannot be read or written is no error: that is said once,
    and what is missing is computed whenever it is asked for.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        """Use a folder, which need not exist yet, for features of the shape (H, W, D)."""
        self.folder = folder
        self.shape = shape
        self._verified: set[str] = set()
        self._gave_way = False

    def read(self, key: str) -> np.ndarray | None:
        """Features (H, W, D) in fp16, mapped from disk; None where they are missing or, with a warning, damaged."""
        path = self._path(key)
        try:
            if key in self._verified or self._is_intact(path):
                self._verified.add(key)
                return np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError):
            pass  # cut off after it was verified
        except OSError as error:
            self._give_way(f"cannot read {path}: {error.strerror or error}")
            return None
        self._verified.discard(key)
        logger.warning("cached features %s are damaged; computing them again", path)
        return None

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

    def _is_intact(self, path: Path) -> bool:
        data = path.read_bytes()
        content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
        if checksum != _checksum(content):
            return False
        features = np.load(io.BytesIO(content), allow_pickle=False)
        return features.shape == self.shape and features.dtype == np.float16


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")
