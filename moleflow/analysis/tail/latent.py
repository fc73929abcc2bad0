"""Are latents normal? Quantiles and moments of z, dimension by dimension."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Cell, Table
from moleflow.analysis.tail.patches import Product
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain

LEVELS = np.concatenate([[0.001, 0.005], np.linspace(0.01, 0.99, 99), [0.995, 0.999]])
FAR = 0.1
"""Kolmogorov–Smirnov distance from which a dimension is called far from normal."""


@dataclass(frozen=True)
class Normality:
    """How each of D dimensions departs from N(0, 1), (D,) each.

    Attributes:
        mean, std: 0 and 1 of a standard normal.
        skew, kurtosis: 0 and 0 (excess).
        ks: Kolmogorov–Smirnov distance sup |F_n − Φ|, 0..1.
        anderson: Anderson–Darling statistic A² against N(mean, std), which looks at the tails; n-dependent.
    """

    mean: np.ndarray
    std: np.ndarray
    skew: np.ndarray
    kurtosis: np.ndarray
    ks: np.ndarray
    anderson: np.ndarray


def normality(z: np.ndarray) -> Normality:
    """Of latents (m, D)."""
    ks = np.array([stats.kstest(column, "norm").statistic for column in z.T])
    anderson = np.array([anderson_darling(column) for column in z.T])
    return Normality(z.mean(0), z.std(0), stats.skew(z, 0), stats.kurtosis(z, 0), ks, anderson)


def anderson_darling(values: np.ndarray) -> float:
    """A² = −n − Σ (2i − 1)/n·(ln Φ(y_i) + ln Φ(−y_{n+1−i})), y standardised, sorted (Anderson & Darling 1954)."""
    n, y = len(values), np.sort((values - values.mean()) / (values.std(ddof=1) or 1.0))
    weights = 2 * np.arange(1, n + 1) - 1
    return float(-n - np.sum(weights * (stats.norm.logcdf(y) + stats.norm.logsf(y[::-1]))) / n)


def latent(product: Product, command: str = "", most: int = 20_000, seed: int = 0) -> Analysis:
    """The study on training patches and on good test patches."""
    sets = {"train": product.train.z, "test good": product.test.good.z}
    rng = np.random.default_rng(seed)
    flat = {name: z.reshape(-1, z.shape[-1]) for name, z in sets.items()}
    thin = {name: z[rng.permutation(len(z))[:most]].astype(float) for name, z in flat.items()}
    found = {name: normality(z) for name, z in thin.items()}
    finding = [_sentence(name, one, len(thin[name])) for name, one in found.items()]
    finding.append("With so many patches any test rejects exact normality; how large the departure is, is what counts.")
    numbers = {name: {key: value.round(5).tolist() for key, value in vars(one).items()} for name, one in found.items()}
    columns = ("patches", "mean |mean|", "mean std", "mean |skew|", "mean excess kurtosis", "median KS", "worst KS")
    rows: list[tuple[Cell, ...]] = [(name, *_row(one)) for name, one in found.items()]
    table = Table("Departure from N(0, 1)", columns, tuple(rows), "", 2)
    caption = "Quantiles of z against those of a standard normal: the median dimension, and the band of 90 % of them."
    return Analysis(
        f"Normality of latents: {product.name}", finding, numbers, command,
        [Picture("latent", draw(thin), caption)], {"latent": table},
    )  # fmt: skip


def _row(one: Normality) -> tuple[float, ...]:
    values = (abs(one.mean).mean(), one.std.mean(), abs(one.skew).mean(), one.kurtosis.mean(), np.median(one.ks),
              one.ks.max())  # fmt: skip
    return tuple(float(value) for value in values)


def _sentence(name: str, one: Normality, patches: int) -> str:
    far = int((one.ks > FAR).sum())
    return (
        f"{name}: {far} of {len(one.ks)} dimensions are farther than {FAR} (Kolmogorov–Smirnov) from N(0, 1) over "
        f"{patches} patches, the median one {np.median(one.ks):.3f}; mean std {one.std.mean():.2f}, mean excess "
        f"kurtosis {one.kurtosis.mean():.2f}."
    )


def draw(sets: dict[str, np.ndarray]) -> Figure:
    """A QQ panel a set."""
    figure = new_figure(3.4 * len(sets), 3.1)
    expected = stats.norm.ppf(LEVELS)
    for axes, (name, z) in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets.items(), strict=True):
        quantiles = np.quantile(z, LEVELS, axis=0)
        low, middle, high = np.quantile(quantiles, [0.05, 0.5, 0.95], axis=1)
        axes.fill_between(expected, low, high, color=DARK, alpha=0.2, linewidth=0)
        axes.plot(expected, middle, color=DARK, label="median dimension")
        axes.plot(expected, expected, color=ACCENT, linestyle="--", linewidth=0.9, label="N(0, 1)")
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("quantile of N(0, 1)", fontsize=9)
        axes.set_ylabel("quantile of z", fontsize=9)
        plain(axes)
        axes.legend(fontsize=7, frameon=False)
    return figure
