"""Image AUROC under resamplings of the test images."""

import numpy as np

from moleflow.evaluation.scored import Scored
from moleflow.evaluation.statistics.bootstrap import draw

DRAWS = 1000


def auroc_draws(scored: Scored, seed: int = 0) -> np.ndarray:
    """AUROC of each resampling, fractions, (R,): Σ w₊·[s₊ > s₋]·w₋/(Σw₊·Σw₋), ties count half.

    The same seed and the same labels give the same draws, so two detectors on the same images are resampled alike.
    """
    labels, scores = scored.labels, scored.images
    weights = draw(labels, DRAWS, seed)
    bad, good = scores[labels == 1], scores[labels == 0]
    wins = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
    bad_weights, good_weights = weights[:, labels == 1], weights[:, labels == 0]
    with np.errstate(invalid="ignore"):
        return np.asarray(((bad_weights @ wins) * good_weights).sum(1) / (bad_weights.sum(1) * good_weights.sum(1)))


def middle(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 %; NaN of nothing."""
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
