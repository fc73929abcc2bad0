"""Telling that memory ran out from other failures, whichever way it is reported; and keeping it from running out."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's names of its limits, from malloc.h."""
PHRASES = ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch says it in a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, or its CPU allocator's."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES))


def map_large_blocks() -> None:
    """Let glibc map every block of a megabyte or more, and unmap it when it is freed; elsewhere do nothing.

    By default it raises that limit as blocks are freed, up to 32 MB. Aligned blocks then come from the heap, and glibc
    2.36 was seen not to use their room again: a loop that allocates and frees 20 MB grew to 24 GB.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


def reuse_blocks() -> None:
    """Let glibc keep freed memory for the next step, up to 256 MB, and map only blocks of 16 MB or more.

    By default it gives memory back to the system whenever a step's tensors are freed, and the next step pays for every
    page anew: a fifth of a small flow's training step. Larger blocks are mapped, so the heap cannot grow by them.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**24)
        libc.mallopt(M_TRIM_THRESHOLD, 2**28)
