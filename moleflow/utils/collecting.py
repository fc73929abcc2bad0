"""Python's search for garbage, put off where there is none: large imports make it slow, and leave nothing to find."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def freeze_at_exit() -> None:
    """Let the program end without a last search among all that it imported, which takes a second or more with torch.

    What is in files is there by then; cycles that are alive at the end are not taken apart any more.
    """
    atexit.register(gc.freeze)


@contextmanager
def not_collecting() -> Iterator[None]:
    """Do not search meanwhile; imports make some hundred thousand objects, all of which stay."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
