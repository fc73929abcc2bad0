"""The affine part of a coupling, whose gradients are written by hand, against the formula autograd differentiates."""

import math

import pytest
import torch
from torch import Tensor

from moleflow.models.coupling import BoundedAffine, exponential, squashed, summed
from moleflow.models.stages import gaussian_energy
from moleflow.models.subnets.plain import rectified

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


def log_scale(s: Tensor) -> Tensor:
    return summed(squashed(s, CLAMP)[..., None], CLAMP)


def test_the_log_scale_is_bounded_exact_at_zero_and_in_float32_at_least() -> None:
    s = torch.linspace(-40, 40, 20_001)
    torch.testing.assert_close(log_scale(s), CLAMP * torch.tanh(s / CLAMP), rtol=0, atol=6e-7)
    assert summed(squashed(torch.zeros(2, 7), CLAMP), CLAMP).eq(0).all(), "a coupling starts as the identity, exactly"
    assert squashed(s.bfloat16(), CLAMP).dtype == torch.float32
    assert squashed(s.double(), CLAMP).dtype == torch.float64


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
    s = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    exact = torch.exp(CLAMP * torch.tanh(s / CLAMP))
    assert exponential(squashed(torch.zeros(3), CLAMP), CLAMP).eq(1).all()
    torch.testing.assert_close(exponential(squashed(s.float(), CLAMP), CLAMP).double(), exact, rtol=9e-7, atol=0)
    torch.testing.assert_close(exponential(squashed(s, CLAMP), CLAMP), exact, rtol=2e-15, atol=0)


def test_the_energy_and_its_derivatives_are_the_formulas() -> None:
    z = drawn()[0].requires_grad_()
    expected = z.square().sum(-1) / 2 + z.shape[-1] / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_energy(z), expected, rtol=1e-14, atol=0)
    assert torch.autograd.gradcheck(gaussian_energy, (z,))
    assert torch.autograd.gradgradcheck(gaussian_energy, (z,))
    assert gaussian_energy(z.bfloat16()).dtype == torch.float32


def test_a_rectified_tensor_is_changed_in_place_only_where_no_gradient_needs_it() -> None:
    x = torch.tensor([-1.0, 2.0])
    learned = x.clone().requires_grad_()
    torch.testing.assert_close(rectified(learned), torch.tensor([0.0, 2.0]))
    assert learned.tolist() == [-1.0, 2.0]
    assert rectified(x) is x
