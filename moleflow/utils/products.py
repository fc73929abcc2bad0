"""Matrix products in float32 on a CPU, by the faster of the two libraries that torch has for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


def _settings() -> Any:
    return torch.backends.mkldnn.matmul  # type: ignore[attr-defined]


@contextmanager
def fast_products() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices, where that is as exact as what torch does by itself.

    torch leaves them to MKL, which on some processors does half of what they can (measured: 103 GFLOP/s instead of 227
    on one thread of a Zen 4 core). Told that bfloat16 would be good enough, torch asks oneDNN, and oneDNN computes in
    float32 all the same unless the processor has units for bfloat16 matrices. Whether it does is looked at once, by
    multiplying; where it rounds, or where torch knows no such setting, nothing changes.

    Features of the backbone are computed outside: their bytes are kept in caches that all runs share.
    """
    if not is_exact():
        yield
        return
    before = _settings().fp32_precision
    _settings().fp32_precision = "bf16"
    try:
        yield
    finally:
        _settings().fp32_precision = before


@cache
def is_exact() -> bool:
    """Whether products by oneDNN keep what bfloat16 cannot hold: 1 + 2⁻¹² times 1, in sums of one element."""
    if not hasattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision"):
        return False
    before = _settings().fp32_precision
    left, right = torch.eye(64) * (1 + 2.0**-12), torch.ones(64, 64)
    try:
        _settings().fp32_precision = "bf16"
        return bool((left @ right == 1 + 2.0**-12).all())
    except RuntimeError:  # another torch, another set of names
        return False
    finally:
        _settings().fp32_precision = before
