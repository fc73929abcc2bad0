"""S7: from the scores of normal images to the limit that new ones exceed with a promised probability."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

FEWEST = 20
"""Scores below which there is no tail to fit."""
LEAST_EXCESSES = 10
"""Scores that a tail is fitted to, at least; else the highest fifth."""


def conformal_limit(ascending: Tensor, rate: float) -> Tensor:
    """The smallest reference value s with (1 + #{reference > s}) / (n + 1) ≤ rate (split conformal, Vovk et al. 2005).

    Args:
        ascending: (n,) values of normal images, sorted.
        rate: share of new normal images that may exceed the limit.

    Returns:
        A scalar: the largest value where n is too small to promise the rate, and NaN (no decision) where n = 0.
    """
    if not len(ascending):
        return ascending.new_tensor(torch.nan)
    allowed = int(rate * (len(ascending) + 1) + 1e-9) - 1
    return ascending[-1 - max(allowed, 0)].clone()


def pareto_limit(ascending: Tensor, rate: float) -> Tensor:
    """The level that a generalized Pareto tail exceeds with probability ``rate`` (peaks over threshold, Coles 2001).

    Of the k = max(10, ⌈n/5⌉) highest values the excesses over the next lower one, u, are fitted with
    P(X > u + y | X > u) = (1 + ξy/σ)^(−1/ξ); the limit is u + σ/ξ·((k/(n·rate))^ξ − 1), and u + σ·log(k/(n·rate)) for
    ξ = 0 (Coles 2001, section 4.3.3). Unlike a quantile it can lie beyond the largest value: it extrapolates to rates
    that n values cannot resolve.

    Args:
        ascending: (n,) values of normal images, sorted.
        rate: share of new normal images that may exceed the limit.

    Returns:
        A scalar. It is ``conformal_limit`` where there are fewer than 20 values, where the rate lies in the body of
        the values (rate ≥ k/n) or is 0, and where the tail is flat.
    """
    n = len(ascending)
    k = max(LEAST_EXCESSES, math.ceil(n / 5))
    if n < FEWEST or not 0 < rate < k / n or ascending[-1] == ascending[-k - 1]:
        return conformal_limit(ascending, rate)
    start = ascending[-k - 1].item()
    shape, scale = fitted_tail(ascending[-k:] - start)
    ratio = math.log(k / (n * rate))
    rise = ratio if abs(shape) < 1e-9 else math.expm1(shape * ratio) / shape
    return ascending.new_tensor(start + scale * rise)


def fitted_tail(ascending: Tensor) -> tuple[float, float]:
    """(ξ, σ) of the generalized Pareto distribution with the probability-weighted moments of excesses (k,), sorted.

    With a_0 their mean and a_1 the mean of (1 − p_i)·y_i, p_i = (i − 0.35)/k: ξ = 2 − a_0/(a_0 − 2a_1) and
    σ = 2·a_0·a_1/(a_0 − 2a_1) (Hosking and Wallis 1987). In closed form, and closer than maximum likelihood below some
    hundreds of excesses.
    """
    y = ascending.double()
    ranks = (torch.arange(1, len(y) + 1, device=y.device) - 0.35) / len(y)
    first, second = y.mean().item(), ((1 - ranks) * y).mean().item()
    return 2 - first / (first - 2 * second), 2 * first * second / (first - 2 * second)


class LimitRule(nn.Module, ABC):
    """How a task's limits follow from what normal images score."""

    @abstractmethod
    def forward(self, ascending: Tensor, rate: float) -> Tensor:
        """(n,) sorted values of normal images and the share that may exceed the limit -> the limit, a scalar."""


class QuantileLimit(LimitRule):
    """One of the values: ``conformal_limit``."""

    def forward(self, ascending: Tensor, rate: float) -> Tensor:
        """(n,) -> a scalar."""
        return conformal_limit(ascending, rate)


class TailLimit(LimitRule):
    """Read off a fitted tail: ``pareto_limit``."""

    def forward(self, ascending: Tensor, rate: float) -> Tensor:
        """(n,) -> a scalar."""
        return pareto_limit(ascending, rate)
