"""Every loss term that looks at the latent alone, against values computed by hand; shares of the loss."""

import math
from typing import Any

import pytest
import torch

from moleflow.config.task import Task
from moleflow.losses.center import CenterLoss
from moleflow.losses.focal import FocalNll
from moleflow.losses.logdet import LogDetPenalty
from moleflow.losses.nll import MeanNll
from moleflow.losses.tail import TailAwareNll
from moleflow.losses.terms import LossTerm, PartPenalties, Step
from moleflow.losses.weighted import Weighted, linear
from moleflow.models.stages import Latent

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def latent(z: torch.Tensor) -> Latent:
    """A latent whose log-determinants are zero."""
    zeros = torch.zeros(z.shape[:-1])
    return Latent(z, z, zeros, zeros)


def line() -> Latent:
    """One image of 1×4 patches with D = 1, whose NLLs are ½log 2π + (0, 0.5, 2, 4.5) − 0.25 − (0, 0, 1, 1)."""
    z = torch.tensor([0.0, 1.0, 2.0, 3.0]).reshape(1, 1, 4, 1)
    return Latent(torch.zeros_like(z), z, torch.full((1, 1, 4), 0.25), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]))


def step(of: Latent, model: Any = None, progress: float = 0.0) -> Step:
    return Step(model, Task(("a",), 0), torch.zeros(0), of, progress, torch.Generator())


def test_nll_of_patches():
    expected = torch.tensor([0.0, 0.5, 1.0, 3.5]) - 0.25 + HALF_LOG_2PI
    torch.testing.assert_close(line().nll[0, 0], expected)


def test_nll_is_the_gaussian_density():
    z = torch.randn(2, 3, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = -torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    torch.testing.assert_close(latent(z).nll, expected)


def test_mean_nll():
    assert MeanNll()(step(line())).item() == pytest.approx(1.25 - 0.25 + HALF_LOG_2PI)


@pytest.mark.parametrize(
    ("weight", "ratio", "expected"),
    [(0.0, 0.5, 1.25), (1.0, 0.02, 3.5), (1.0, 0.5, 2.25), (0.7, 0.02, 0.3 * 1.25 + 0.7 * 3.5)],
)
def test_tail_aware_nll(weight, ratio, expected):
    value = TailAwareNll(weight, ratio)(step(line())).item()
    assert value == pytest.approx(expected - 0.25 + HALF_LOG_2PI)


def test_the_tail_is_taken_image_by_image():
    z = torch.tensor([[0.0, 4.0], [0.0, 2.0]]).reshape(2, 1, 2, 1)
    value = TailAwareNll(1.0, 0.5)(step(latent(z))).item()
    assert value == pytest.approx((8 + 2) / 2 + HALF_LOG_2PI)


def of_nll(*values: float, dim: int = 2) -> Latent:
    """One row of patches with these NLLs, by their log-determinants; they take gradients."""
    z = torch.zeros(1, 1, len(values), dim)
    logdet = dim * HALF_LOG_2PI - torch.tensor([[list(values)]])
    return Latent(z, z, torch.zeros(1, 1, len(values)), logdet.requires_grad_(True))


def test_focal_nll_by_hand():
    """D = 2, NLL per dimension 1, 2 and −1: weights (1 − e⁻¹)², (1 − e⁻²)² and 0."""
    value = FocalNll(2.0)(step(of_nll(2.0, 4.0, -2.0))).item()
    expected = (2 * (1 - math.exp(-1)) ** 2 + 4 * (1 - math.exp(-2)) ** 2) / 3
    assert value == pytest.approx(expected, rel=1e-5)


def test_focal_nll_without_gamma_is_the_mean():
    assert FocalNll(0.0)(step(of_nll(2.0, 4.0, -3.0))).item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_weights_are_no_path_for_gradients(gamma):
    of = of_nll(2.0, 0.0, -2.0)
    FocalNll(gamma)(step(of)).backward()
    expected = torch.tensor([-((1 - math.exp(-1)) ** gamma) / 3, 0.0, 0.0])
    torch.testing.assert_close(of.flow_logdet.grad[0, 0], expected, rtol=1e-4, atol=1e-3 if gamma < 1 else 1e-6)


def test_logdet_penalty_ignores_the_adapter():
    assert LogDetPenalty(0.1)(step(line())).item() == pytest.approx(0.1 * 0.5)


def test_center_loss_by_hand():
    z = torch.tensor([[1.0, 2.0], [0.0, 3.0]]).reshape(1, 1, 2, 2)
    assert CenterLoss(0.05)(step(latent(z))).item() == pytest.approx(0.05 * (5 + 9) / 2)


class Asking:
    """A model whose parts ask for given penalties."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def penalties(self, task: Task) -> list[torch.Tensor]:
        return [torch.tensor(value) for value in self.values]


def test_part_penalties_are_summed():
    assert PartPenalties()(step(line(), Asking(1.5, 2.0))).item() == 3.5
    assert PartPenalties()(step(line(), Asking())).item() == 0.0


class Two(LossTerm):
    """Always two."""

    name = "two"

    def __call__(self, step: Step) -> torch.Tensor:
        return torch.tensor(2.0)


@pytest.mark.parametrize(("progress", "expected"), [(0.0, 1.0), (0.5, 0.6), (1.0, 0.2)])
def test_a_share_of_the_loss_follows_its_schedule(progress, expected):
    term = Weighted(Two(), linear(0.5, 0.1))
    assert term.name == "two"
    assert term(step(line(), progress=progress)).item() == pytest.approx(expected)
