"""The affine part of a coupling, whose gradients are written by hand, against the formula autograd differentiates."""

import pytest
import torch
from torch import Tensor

from moleflow.models.coupling import BoundedAffine, bounded, exponential

CLAMP = 1.9


def by_autograd(x: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    log_scale = CLAMP * torch.tanh(s / CLAMP)
    return x * torch.exp(log_scale) + t, log_scale.sum(-1)


def by_hand(x: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return BoundedAffine.apply(x, s, t, CLAMP)


def drawn(seed: int = 0) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [2 * torch.randn(2, 3, 4, generator=random, dtype=torch.float64) for _ in range(3)]


def test_values_are_the_formulas() -> None:
    for one, other in zip(by_hand(*drawn()), by_autograd(*drawn()), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_first_and_second_derivatives_are_the_formulas() -> None:
    x, s, t = (part.requires_grad_() for part in drawn())
    assert torch.autograd.gradcheck(by_hand, (x, s, t))
    assert torch.autograd.gradgradcheck(by_hand, (x, s, t))


def test_the_log_scale_is_bounded_exact_at_zero_and_in_float32_at_least() -> None:
    s = torch.linspace(-40, 40, 20_001)
    torch.testing.assert_close(bounded(s, CLAMP), CLAMP * torch.tanh(s / CLAMP), rtol=0, atol=6e-7)
    assert bounded(torch.zeros(3), CLAMP).eq(0).all(), "a coupling starts as the identity, to the bit"
    assert bounded(s.bfloat16(), CLAMP).dtype == torch.float32
    assert bounded(s.double(), CLAMP).dtype == torch.float64


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_subnets_leave_the_log_det_in_float32(half: torch.dtype) -> None:
    x, s, t = (part.float() for part in drawn())
    low = [s.to(half).requires_grad_(), t.to(half).requires_grad_()]
    y, logdet = by_hand(x, *low)
    assert (y.dtype, logdet.dtype) == (torch.float32, torch.float32)
    expected = by_autograd(x, low[0].detach().float(), low[1].detach().float())
    torch.testing.assert_close(y, expected[0])
    torch.testing.assert_close(logdet, expected[1])
    (y.sum() + logdet.sum()).backward()
    assert [part.grad is not None and part.grad.dtype for part in low] == [half, half]


def test_the_exponential_is_exact_at_zero_and_close_elsewhere() -> None:
    x = torch.linspace(-2, 2, 4001)
    assert exponential(torch.zeros(3)).eq(1).all()
    torch.testing.assert_close(exponential(x).double(), x.double().exp(), rtol=5e-7, atol=0)
    torch.testing.assert_close(exponential(x.double()), x.double().exp(), rtol=1e-15, atol=0)
