"""S7: limits read off a fitted tail: the formulas by hand, what they promise, and where the quantile stays."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import TINY, product_features, trained
from scipy import stats

from moleflow.config.variants import TailLimit as TailLimitConfig
from moleflow.extractors.batch import Batch
from moleflow.models.scoring.limits import conformal_limit, fitted_tail, pareto_limit


def quantiles(shape: float, n: int) -> torch.Tensor:
    """n evenly spread quantiles of a generalized Pareto distribution of scale 2, by scipy's own formula."""
    return torch.from_numpy(stats.genpareto(shape, scale=2.0).ppf((np.arange(1, n + 1) - 0.35) / n))


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
def test_a_pareto_tail_is_recognised(shape: float):
    found = fitted_tail(quantiles(shape, 4000))
    assert found == pytest.approx((shape, 2.0), abs=0.03)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_the_limit_is_the_level_that_the_tail_exceeds_at_the_rate(shape: float, rate: float):
    """A fifth of the values is the tail, and the rest of a Pareto distribution's tail is one of the same shape."""
    values = quantiles(shape, 4000) - 100
    expected = stats.genpareto(shape, scale=2.0).isf(rate) - 100
    assert pareto_limit(values, rate).item() == pytest.approx(expected, rel=0.003)


def test_the_limit_by_hand():
    """n = 20, k = 10, u = 9; excesses 1…10 have a_0 = 5.5 and a_1 = Σ (1 − (i − 0.35)/10)·i/10 = 1.8425."""
    first, second = 5.5, sum((1 - (i - 0.35) / 10) * i for i in range(1, 11)) / 10
    assert second == pytest.approx(1.8425)
    shape, scale = 2 - first / (first - 2 * second), 2 * first * second / (first - 2 * second)
    expected = 9 + scale / shape * ((10 / (20 * 0.01)) ** shape - 1)
    assert pareto_limit(torch.arange(20.0, dtype=torch.float64), 0.01).item() == pytest.approx(expected)


def test_a_tail_that_falls_exponentially_has_the_limit_of_shape_zero(monkeypatch):
    monkeypatch.setattr("moleflow.models.scoring.limits.fitted_tail", lambda excesses: (0.0, 3.0))
    values = torch.arange(20.0, dtype=torch.float64)
    assert pareto_limit(values, 0.01).item() == pytest.approx(9 + 3 * math.log(10 / 0.2))


def test_rates_that_few_values_cannot_resolve_are_kept_better_than_by_a_quantile():
    torch.manual_seed(0)
    gumbel = torch.distributions.Gumbel(0.0, 1.0)
    above: dict[str, list[torch.Tensor]] = {"pareto": [], "quantile": []}
    for _ in range(400):
        values, new = gumbel.sample((32,)).double().sort().values, gumbel.sample((2000,)).double()
        above["pareto"].append((new > pareto_limit(values, 0.01)).double().mean())
        above["quantile"].append((new > conformal_limit(values, 0.01)).double().mean())
    pareto, quantile = (torch.stack(shares).mean().item() for shares in above.values())
    assert 0.01 < pareto < 0.027 < quantile


@pytest.mark.parametrize(("n", "rate"), [(0, 0.05), (1, 0.05), (19, 0.01), (100, 0.2), (100, 0.7), (100, 0.0)])
def test_where_there_is_no_tail_to_fit_the_quantile_stays(n: int, rate: float):
    values = torch.arange(float(n), dtype=torch.float64)
    torch.testing.assert_close(pareto_limit(values, rate), conformal_limit(values, rate), equal_nan=True)


def test_a_flat_tail_has_no_limit_beyond_it():
    values = torch.cat([torch.arange(30.0), torch.full((20,), 30.0)]).double()
    assert pareto_limit(values, 0.01).item() == 30.0


def test_a_task_keeps_the_threshold_of_its_rule_and_its_promise():
    model = trained(["a"], replace(TINY, limit_rule=TailLimitConfig()))
    features = product_features("a", 40, seed=5)
    model.calibrate(model.tasks["a"], lambda: [Batch(features, torch.zeros(40))], 0.02)
    known = model.reference["a"]
    assert known.threshold == pareto_limit(known.scores, 0.02)
    assert known.threshold != conformal_limit(known.scores, 0.02)
    assert known.rate == 0.02
