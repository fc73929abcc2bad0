"""Telling that memory ran out from other failures, whichever way it is reported."""

PHRASES = ("can't allocate memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""How torch says it in a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's on a GPU, or its CPU allocator's."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in PHRASES))
