"""Matrix products on a CPU: in float32 by the faster of the two libraries that torch has, and of bfloat16 factors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

PIECES = 3
"""Numbers of bfloat16 that one of float32 is the sum of."""


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
    with _by_onednn() if is_exact() else nullcontext():
        yield


def of_few_bits(values: Tensor) -> Tensor:
    """The nearest numbers of eight significant bits, which is what bfloat16 holds, in the type they come in."""
    return values.bfloat16().to(values)


def pieces(values: Tensor) -> Tensor:
    """Numbers (n,) of float32 as sums of PIECES numbers of bfloat16, (n, PIECES)."""
    found = []
    for _ in range(PIECES):
        found.append(values.bfloat16())
        values = values - found[-1]
    return torch.stack(found, dim=1)


def least_products(left: Tensor, right: Tensor) -> Tensor:
    """The least product of each row with the columns, of eight significant bits: (n, d), (d, m) -> (n,), 0 at least.

    The factors are in bfloat16. No product of two is rounded, sums are float32's, and rounding them changes no order:
    so units for bfloat16 matrices, which take half as long and write half as much, give what is found without, but for
    the few that sums' last digits move from one eighth bit to the next.
    """
    if has_units_for_bfloat16(left.device):
        # As whole numbers they have the same order, but for negative ones, and that is found four times as fast.
        return (left @ right).view(torch.int16).amin(1).view(torch.bfloat16).float().clamp_min(0)
    return of_few_bits((left.float() @ right.float()).amin(1)).clamp_min(0)


@cache
def has_units_for_bfloat16(device: torch.device) -> bool:
    """Whether a processor is known to multiply matrices of bfloat16 faster than those of float32."""
    known: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and (known.get("amx_bf16", False) or known.get("avx512_bf16", False))


@contextmanager
def _by_onednn() -> Iterator[None]:
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
    left, right = torch.eye(64) * (1 + 2.0**-12), torch.ones(64, 64)
    try:
        with _by_onednn():
            return bool((left @ right == 1 + 2.0**-12).all())
    except RuntimeError:  # another torch, another set of names
        return False
