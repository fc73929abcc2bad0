"""S6: the scale of image scores, from the scores of a task's held-out normal images."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from moleflow.models.scoring.reference import ScoreReference

FEW = 50
"""Below this many reference scores their own steps are too coarse for a p-value: a parametric tail takes over."""

EULER_GAMMA = 0.5772156649015329


class Calibration(nn.Module, ABC):
    """Image scores of one task to a scale of its own.

    Attributes:
        higher_is_anomalous: the direction of the scale.
        comparable: whether scores of different tasks are on one scale.
        unit: what its scores are counted in.
    """

    unit: ClassVar[str]
    higher_is_anomalous = True
    comparable = True

    @abstractmethod
    def forward(self, scores: Tensor, reference: ScoreReference) -> Tensor:
        """Scores (any shape) of one task -> the same shape; NaN where the reference scores give no scale."""


class RawScores(Calibration):
    """Scores as they are: comparable within a task only."""

    comparable = False
    unit = "scores as they are"

    def forward(self, scores: Tensor, reference: ScoreReference) -> Tensor:
        """Return the scores."""
        return scores


class ZScore(Calibration):
    """(s − mean)/std of the task's held-out normal scores, in float64; std with n − 1.

    NaN where there is no spread to measure by: fewer than two reference scores, or all of them equal.
    """

    unit = "standard deviations"

    def forward(self, scores: Tensor, reference: ScoreReference) -> Tensor:
        """Scores (any shape) -> the same shape, in standard deviations."""
        mean, std = moments(reference.scores)
        return (scores.double() - mean) / std


class Excess(Calibration):
    """(s − median)/(mean of what normal scores exceed their median by), in float64.

    Normal scores are the highest of many, so they reach farther up than down; how far a defect's score says something
    against is how far they reach up. NaN as for ``ZScore``, and where none is above the median.
    """

    unit = "mean excesses"

    def forward(self, scores: Tensor, reference: ScoreReference) -> Tensor:
        """Scores (any shape) -> the same shape, in mean excesses."""
        if not _vary(reference.scores):
            return torch.full_like(scores, torch.nan, dtype=torch.float64)
        median = reference.scores.quantile(0.5)
        excess = (reference.scores - median).clamp_min(0).mean()
        return (scores.double() - median) / torch.where(excess > 0, excess, torch.nan)


class PValue(Calibration):
    """The probability of a normal score at least as high, in float64: small is anomalous.

    From 50 reference scores on it is (1 + #{reference ≥ s})/(n + 1), valid in finite samples where all are of held-out
    images (Davison and Hinkley 1997). With fewer it is the tail 1 − exp(−exp(−(s − μ)/β)) of a Gumbel distribution, the
    limit law of maxima, with β = std·√6/π and μ = mean − γβ by moments (Gumbel 1958): image scores are means of the
    highest patch scores. The tail stands in for cross-fitting, which would train K experts a task. NaN as for
    ``ZScore``.

    An image is anomalous when its p-value is below that of its task's threshold; on both branches that is the very
    decision of the raw scores, since the threshold is a reference score.
    """

    higher_is_anomalous = False
    unit = "p-values"

    def forward(self, scores: Tensor, reference: ScoreReference) -> Tensor:
        """Scores (any shape) -> p-values of the same shape."""
        tail = gumbel_tail if len(reference.scores) < FEW else plus_one_share
        return tail(scores.double(), reference.scores)


def plus_one_share(scores: Tensor, reference: Tensor) -> Tensor:
    """(1 + #{reference ≥ s})/(n + 1) for scores of any shape; the reference (n,) is sorted. NaN scores stay NaN."""
    n = len(reference)
    reached = n - torch.searchsorted(reference, scores.contiguous())
    return torch.where(scores.isnan(), scores, (1 + reached) / (n + 1))


def gumbel_tail(scores: Tensor, reference: Tensor) -> Tensor:
    """P(S ≥ s) under the Gumbel distribution with the reference's mean and standard deviation."""
    mean, std = moments(reference)
    width = std * math.sqrt(6) / math.pi
    mode = mean - EULER_GAMMA * width
    return -torch.expm1(-torch.exp(-(scores - mode) / width))


def moments(reference: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (n − 1) of reference scores (n,); NaN where they do not vary."""
    nan = reference.new_tensor(torch.nan)
    return (reference.mean(), reference.std()) if _vary(reference) else (nan, nan)


def _vary(reference: Tensor) -> bool:
    """Whether sorted reference scores (n,) have any spread."""
    return len(reference) > 1 and bool(reference[0] < reference[-1])
