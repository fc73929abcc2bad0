"""Every loss term against a value computed by hand."""

import math

import pytest
import torch

from moleflow.losses.logdet import LogDetPenalty
from moleflow.losses.nll import MeanNll
from moleflow.losses.tail import TailAwareNll
from moleflow.losses.terms import PartPenalties
from moleflow.models.stages import Latent

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def latent() -> Latent:
    """One image of 1×4 patches with D = 1, whose NLLs are ½log 2π + (0, 0.5, 2, 4.5) − 0.25 − (0, 0, 1, 1)."""
    z = torch.tensor([0.0, 1.0, 2.0, 3.0]).reshape(1, 1, 4, 1)
    return Latent(z, torch.full((1, 1, 4), 0.25), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))


def test_nll_of_patches():
    expected = torch.tensor([0.0, 0.5, 1.0, 3.5]) - 0.25 + HALF_LOG_2PI
    torch.testing.assert_close(latent().nll[0, 0], expected)


def test_nll_is_the_gaussian_density():
    z = torch.randn(2, 3, 3, 5, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(2, 3, 3)
    expected = -torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    torch.testing.assert_close(Latent(z, zeros, zeros).nll, expected)


def test_mean_nll():
    assert MeanNll()(latent(), []).item() == pytest.approx(1.25 - 0.25 + HALF_LOG_2PI)


@pytest.mark.parametrize(
    ("weight", "ratio", "expected"),
    [(0.0, 0.5, 1.25), (1.0, 0.02, 3.5), (1.0, 0.5, 2.25), (0.7, 0.02, 0.3 * 1.25 + 0.7 * 3.5)],
)
def test_tail_aware_nll(weight, ratio, expected):
    value = TailAwareNll(weight, ratio)(latent(), []).item()
    assert value == pytest.approx(expected - 0.25 + HALF_LOG_2PI)


def test_the_tail_is_taken_image_by_image():
    z = torch.tensor([[0.0, 4.0], [0.0, 2.0]]).reshape(2, 1, 2, 1)
    zeros = torch.zeros(2, 1, 2)
    value = TailAwareNll(1.0, 0.5)(Latent(z, zeros, zeros), []).item()
    assert value == pytest.approx((8 + 2) / 2 + HALF_LOG_2PI)


def test_logdet_penalty_ignores_the_adapter():
    assert LogDetPenalty(0.1)(latent(), []).item() == pytest.approx(0.1 * 0.5)


def test_part_penalties_are_summed():
    assert PartPenalties()(latent(), [torch.tensor(1.5), torch.tensor(2.0)]).item() == 3.5
    assert PartPenalties()(latent(), []).item() == 0.0
