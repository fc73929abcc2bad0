"""Files of named arrays, .npz: whole or absent, read without pickle; a damaged one is one sentence."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import write_bytes
from moleflow.utils.memory import is_out_of_memory

Content = TypeVar("Content")


def write_arrays(file: Path, **arrays: np.ndarray) -> None:
    """Replace a file, compressed, or create it and its folder. Raises MoleflowError as ``write_bytes`` does."""
    content = BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_bytes(file, content.getvalue(), durable=False)


def read_arrays(file: Path, taken: Callable[[Any], Content], what: str, way_out: str) -> Content:
    """What is taken from a file's arrays.

    Args:
        file: the file.
        taken: from the arrays by name, which are read when they are asked for.
        what: it should hold, in words.
        way_out: what to do where it does not.

    Raises:
        MoleflowError: the file is missing or damaged, or lacks an array.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            return taken(stored)
    except Exception as error:  # zip, zlib, numpy, json: each has its own
        if is_out_of_memory(error):
            raise
        raise MoleflowError(f"{file} holds no {what} that can be read ({error}): {way_out}") from error
