"""L6: the score against finite differences, the objective against values by hand, who learns from it."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from fakes import DIM, GRID, TINY, product_features, tiny_model
from torch import Tensor

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.knobs import variants_of
from moleflow.config.resolve import slots
from moleflow.config.task import Task
from moleflow.losses.build import build_loss
from moleflow.losses.dsm import NOISE_MODES, DenoisingScoreMatching, ScorePenalty, score
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.stages import Latent, gaussian_energy
from moleflow.models.task import trained_in

A = Task(("a",), 0)
OPTIONS: dict[type, dict[str, Any]] = {
    v.Lora: {"rank": 2}, v.SpatialLora: {"rank": 2, "grid_size": 2}, v.GatedContextSubnet: {"kernel": 3},
    v.ScaleContextSubnet: {"kernel": 3}, v.Dia: {"blocks": 2},
}  # fmt: skip
FLOWS: dict[str, AblationConfig] = {
    f"{name}: {variant.__name__}": replace(TINY, **{name: variant(**OPTIONS.get(variant, {}))})
    for name in ("subnet", "lora", "sharing", "dia")
    for variant in variants_of(slots()[name])
} | {
    "told its position": replace(TINY, position=v.ConditionalPosition(channels=8)),
    "spectral norm": replace(TINY, flow=v.Flow(layers=2, spectral_norm=True)),
    "attention": replace(TINY, subnet=v.CpcfSubnet(attention=True)),
    "learned neighbours": replace(TINY, subnet=v.CpcfSubnet(mode="learned")),
}


def learning(config: AblationConfig = TINY) -> MoLEFlow:
    """A model in its first task, in float64, moved away from the identity, its learners asking for gradients."""
    model = tiny_model(config)
    model.begin_task(A, 0)
    model.double()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim:  # the stand-in backbone's weight is a scalar
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    for parameter in trained_in(model, A):
        parameter.requires_grad_(True)
    return model


def step(model: Any, x: Tensor, seed: int = 0) -> Step:
    """A step whose flow input is x."""
    zeros = x.new_zeros(x.shape[:-1])
    return Step(model, A, x, Latent(x, x, zeros, zeros), 0.0, torch.Generator().manual_seed(seed))


def log_density(model: MoLEFlow, x: Tensor) -> Tensor:
    z, logdet = model.density(x, "a")
    return (logdet - gaussian_energy(z)).sum((1, 2))


@pytest.mark.parametrize("name", FLOWS)
def test_the_score_is_the_slope_of_log_p_over_the_grid(name):
    model = learning(FLOWS[name])
    x, h = product_features("a", 1).double(), 1e-6
    nudges = h * torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape[1:])
    with torch.no_grad():
        slopes = (log_density(model, x + nudges) - log_density(model, x - nudges)) / (2 * h)
    torch.testing.assert_close(score(model, x, "a").flatten(), slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_of_the_loss_pass_every_op_of_the_flow_twice(name):
    """d loss / d weights, along a random direction, against finite differences."""
    model = learning(FLOWS[name])
    term, x = DenoisingScoreMatching(0.1, 0.5, "geometric", None), product_features("a", 2).double()
    weights = [weight for part in (model.flow, model.dia) for weight in part.parameters() if weight.requires_grad]
    slopes = torch.autograd.grad(term(step(model, x)), weights, allow_unused=True)
    generator = torch.Generator().manual_seed(2)
    moves = [torch.randn(weight.shape, generator=generator, dtype=torch.float64) for weight in weights]
    h, values = 1e-6, []
    for sign in (1, -2):  # to +h, then on to −h
        for weight, move in zip(weights, moves, strict=True):
            weight.data.add_(sign * h * move)
        values.append(term(step(model, x)).item())
    expected = (values[0] - values[1]) / (2 * h)
    found = sum((slope * move).sum() for slope, move in zip(slopes, moves, strict=True) if slope is not None)
    assert abs(expected) > 1e-3
    assert found.item() == pytest.approx(expected, rel=1e-4)


class Gaussian:
    """A model that takes x for N(0, σ²) in every channel."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def density(self, x: Tensor, task: str) -> tuple[Tensor, Tensor]:
        return x / self.sigma, x.new_full(x.shape[:-1], -x.shape[-1] * math.log(self.sigma))


def test_dsm_by_hand():
    """For N(0, 4) the score is −x̃/4, so the residual is ε − σ(x + σε)/4 with the step's own ε."""
    x = torch.tensor([[3.0, -1.0], [0.0, 2.0]]).reshape(1, 1, 2, 2)
    own = torch.Generator().manual_seed(7)
    torch.rand(1, generator=own)
    noise = torch.randn(x.shape, generator=own)
    expected = (noise - 0.5 * (x + 0.5 * noise) / 4).square().sum() / 2
    value = DenoisingScoreMatching(0.5, 0.5, "fixed", None)(step(Gaussian(2.0), x, seed=7))
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("projections", [None, 3])
def test_dsm_is_least_where_the_model_is_the_noised_data(projections):
    """x ~ N(0, 1): at the true score of N(0, 1 + σ²) the loss is D/(1 + σ²), sliced or not; elsewhere it is larger."""
    x = torch.randn(200, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    term = DenoisingScoreMatching(0.8, 0.8, "uniform", projections)
    values = {sigma: term(step(Gaussian(sigma), x)).item() for sigma in (0.9, math.sqrt(1 + 0.64), 2.0)}
    assert values[math.sqrt(1.64)] == pytest.approx(4 / 1.64, rel=0.03)
    assert min(values, key=values.__getitem__) == math.sqrt(1.64)


def test_all_noise_levels_count_alike():
    """λ(σ) = σ²: a flow that knows nothing loses about D at σ = 0.01 and at σ = 1."""
    x = torch.zeros(50, 4, 4, 6)
    low, high = (
        DenoisingScoreMatching(sigma, sigma, "fixed", None)(step(Gaussian(100.0), x)).item() for sigma in (0.01, 1.0)
    )
    assert low == pytest.approx(6, rel=0.05)
    assert high == pytest.approx(6, rel=0.05)


def test_noise_levels():
    u = torch.linspace(0, 1, 5)
    torch.testing.assert_close(NOISE_MODES["geometric"](u, 0.01, 1.0).log10(), torch.linspace(-2, 0, 5))
    torch.testing.assert_close(NOISE_MODES["uniform"](u, 0.2, 1.0), torch.linspace(0.2, 1, 5))
    assert NOISE_MODES["fixed"](u, 0.01, 1.0).tolist() == pytest.approx([0.1] * 5)


def test_each_image_has_a_noise_level_of_its_own_and_each_step_others():
    term, seen = DenoisingScoreMatching(0.01, 1.0, "geometric", None), []
    term.levels = lambda u, low, high: seen.append(u) or u
    one = step(Gaussian(1.0), torch.zeros(3, 1, 1, 2))
    term(one)
    term(one)
    assert seen[0].shape == (3, 1, 1, 1)
    assert len(set(torch.cat(seen).flatten().tolist())) == 6


def test_score_penalty_by_hand():
    x = torch.tensor([[3.0, -1.0], [0.0, 2.0]]).reshape(1, 1, 2, 2)
    value = ScorePenalty(0.3)(step(Gaussian(2.0), x)).item()
    assert value == pytest.approx(0.3 * (10 + 4) / 16 / 2)


@pytest.mark.parametrize("term", [DenoisingScoreMatching(0.01, 1.0, "geometric", None), ScorePenalty(1.0)])
def test_what_stands_before_the_flow_learns_nothing_from_the_score_and_the_flow_does(term):
    model = learning(replace(TINY, dia=v.NoDia()))
    features = product_features("a", 4).double()
    latent = model.likelihood(features, "a")
    assert latent.x.requires_grad, "the adapter learns, from other terms"
    term(step(model, features)._replace(latent=latent)).backward()
    before = [*model.adapter.parameters(), *model.context.parameters()]
    assert before
    assert all(parameter.grad is None for parameter in before)
    assert all(weight.grad.abs().sum() > 0 for weight in model.flow.parameters() if weight.grad is not None)
    assert sum(weight.grad is not None for weight in model.flow.parameters()) >= 4


MODES = {
    "hybrid": ["penalties", "tail_nll", "dsm", "logdet_penalty"],
    "dsm_only": ["penalties", "dsm", "logdet_penalty"],
    "nll_only": ["penalties", "tail_nll", "logdet_penalty"],
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_choose_the_terms(mode):
    dsm = v.Dsm(mode=mode)
    assert [term.name for term in build_loss(replace(TINY, dsm=dsm))] == MODES[mode]
    penalized = build_loss(replace(TINY, dsm=replace(dsm, clean_penalty=0.1)))
    assert "score_penalty" in [term.name for term in penalized]


@pytest.mark.parametrize("loss", [v.TailAwareLoss(), v.FocalLoss(), v.MeanLoss()])
def test_the_hybrid_shares_between_the_configured_likelihood_and_dsm(loss):
    """α = 0.8 at the start, 0.2 at the end; the other terms keep their weight."""
    model = learning()
    features = product_features("a", 4).double()
    latent = model.likelihood(features, "a")
    alone = build_loss(replace(TINY, loss=loss)) + build_loss(replace(TINY, dsm=v.Dsm(mode="dsm_only")))[1:2]
    blended = build_loss(replace(TINY, loss=loss, dsm=v.Dsm(alpha=0.8, alpha_end=0.2)))
    for progress, alpha in ((0.0, 0.8), (0.5, 0.5), (1.0, 0.2)):
        at = lambda progress=progress: Step(model, A, features, latent, progress, torch.Generator().manual_seed(3))
        values = {term.name: term(at()).item() for term in alone}
        found = {term.name: term(at()).item() for term in blended}
        assert found[alone[1].name] == pytest.approx(alpha * values[alone[1].name])
        assert found["dsm"] == pytest.approx((1 - alpha) * values["dsm"])
        assert found["logdet_penalty"] == values["logdet_penalty"]


@pytest.mark.parametrize("term", [DenoisingScoreMatching(0.01, 1.0, "geometric", None), ScorePenalty(1.0)])
def test_in_bfloat16_training_the_score_is_taken_in_float32(term):
    model = tiny_model()
    model.begin_task(A, 0)
    x = torch.zeros(2, GRID, GRID, DIM, dtype=torch.bfloat16)
    assert term(step(model, x)).dtype == torch.float32
