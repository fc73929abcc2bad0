"""Whether two detectors differ, given that they were tested on the same images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from moleflow.evaluation.statistics.bootstrap import PART
from moleflow.evaluation.statistics.counts import Counts, Metrics, Values
from moleflow.utils.errors import MoleflowError


class Difference(NamedTuple):
    """AUROC of the second detector minus that of the first.

    Attributes:
        value: the difference.
        variance: of its estimate.
    """

    value: float
    variance: float

    @property
    def p(self) -> float:
        """Two-sided p-value under a normal distribution; 1 where nothing differs."""
        if self.variance > 0:
            return float(2 * norm.sf(abs(self.value) / math.sqrt(self.variance)))
        return 1.0 if self.value == 0 else 0.0


def delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Difference:
    """Difference of two correlated AUROCs.

    Sources: DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44, 1988; computed from midranks as in Sun & Xu, "Fast implementation of
    DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.

    Args:
        labels: 1 for a defective image, 0 for a normal one, (n,).
        first, second: scores of the two detectors, (n,).

    Raises:
        MoleflowError: there are fewer than two images of a label.
    """
    truths = np.asarray(labels).astype(bool)
    m, n = int(truths.sum()), int((~truths).sum())
    if min(m, n) < 2:
        raise MoleflowError(f"expected two images or more of each label for DeLong's test, found {m} and {n}")
    parts = [_placements(truths, np.asarray(scores, dtype=np.float64)) for scores in (first, second)]
    (hits_a, alarms_a), (hits_b, alarms_b) = parts
    variance = np.var(hits_b - hits_a, ddof=1) / m + np.var(alarms_b - alarms_a, ddof=1) / n
    return Difference(float(hits_b.mean() - hits_a.mean()), float(variance))


def mean_difference(differences: Sequence[Difference]) -> Difference:
    """Of independent classes: the mean of their differences, with the variance of that mean."""
    count = len(differences)
    return Difference(
        sum(one.value for one in differences) / count, sum(one.variance for one in differences) / count**2
    )


def exchanged(first: Counts, second: Counts, metrics: Metrics, resamples: int, seed: int) -> Values:
    """Differences of each metric (second minus first) when the detectors are exchanged at random, image by image, (R,).

    If the detectors are equally good, exchanging an image's ranks between them changes nothing but chance. Source:
    Bandos, Rockette & Gur, "A permutation test sensitive to differences in areas for comparing ROC curves from a paired
    design", Statistics in Medicine 24, 2005. All pixels of an image are exchanged together.

    Args:
        first, second: counts of the same n images by ``count_images`` or ``count_pixels``.
        metrics: what to compare.
        resamples: R.
        seed: the same seed gives the same values.
    """
    swap = np.random.default_rng(seed).integers(0, 2, size=(resamples, len(first)))
    parts = []
    for start in range(0, resamples, PART):
        chosen = swap[start : start + PART].astype(float)
        a = metrics(first.weighted(1 - chosen) + second.weighted(chosen))
        b = metrics(first.weighted(chosen) + second.weighted(1 - chosen))
        parts.append({name: b[name] - a[name] for name in a})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def p_value(observed: float, null: np.ndarray) -> float | None:
    """Two-sided: (1 + how many null differences are as large) / (1 + how many there are); None where there is none.

    Source: Phipson & Smyth, "Permutation p-values should never be zero", 2010.
    """
    known = null[~np.isnan(null)]
    if not known.size:
        return None
    return float((1 + np.sum(np.abs(known) >= abs(observed) - 1e-12)) / (1 + known.size))


def _placements(truths: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each defective image the share of normal ones below it (m,), and for each normal one the share above (n,)."""
    ranks = rankdata(scores)
    defective, normal = ranks[truths], ranks[~truths]
    hits = (defective - rankdata(scores[truths])) / len(normal)
    alarms = 1 - (normal - rankdata(scores[~truths])) / len(defective)
    return hits, alarms
