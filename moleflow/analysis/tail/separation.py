"""How far scores of defects lie from scores of normal images and patches."""

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from moleflow.analysis.intervals import Interval
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tables import Table
from moleflow.analysis.tail.patches import Product
from moleflow.analysis.tail.resample import of_two_groups
from moleflow.evaluation.report.figures.canvas import ACCENT, DARK, new_figure, plain
from moleflow.utils.errors import UsageError

BINS = 40


def d_prime(good: np.ndarray, bad: np.ndarray) -> float:
    """d′ = (μ₁ − μ₀)/√((σ₀² + σ₁²)/2) (Green & Swets 1966); NaN where neither group varies, as of one image each."""
    spread = np.sqrt((good.var() + bad.var()) / 2)
    return float((bad.mean() - good.mean()) / spread) if spread > 0 else np.nan


def overlap(good: np.ndarray, bad: np.ndarray) -> float:
    """Overlap coefficient Σ min(p₀, p₁) of the two histograms over common bins: 1 alike, 0 apart."""
    edges = np.histogram_bin_edges(np.concatenate([good, bad]), BINS)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (good, bad)]
    return float(np.minimum(*shares).sum())


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    """Probability that a defect scores above a normal one."""
    return float(roc_auc_score(np.repeat([0, 1], [len(good), len(bad)]), np.concatenate([good, bad])))


STATISTICS = {"d′": d_prime, "overlap": overlap, "AUROC": auroc}


def top_mean(nll: np.ndarray, k: int = 3) -> np.ndarray:
    """Mean of each image's k largest patch scores: (n, H, W) -> (n,)."""
    flat = nll.reshape(len(nll), -1)
    return np.sort(flat, axis=1)[:, -k:].mean(1)


def separation(product: Product, command: str = "") -> Analysis:
    """The study on test images and on their patches.

    Raises:
        UsageError: the test set lacks good or defective images.
    """
    test = product.test
    if len(set(test.labels.tolist())) < 2:
        raise UsageError(f"{product.name!r} needs good and defective test images, found one kind.")
    images = top_mean(test.nll)
    groups = {"images": (images[test.labels == 0], images[test.labels == 1])}
    if test.defects.any():
        groups["patches"] = (test.nll[~test.defects & (test.labels == 0)[:, None, None]], test.nll[test.defects])
    found = {
        (level, name): _with_interval(level, good, bad, name)
        for level, (good, bad) in groups.items()
        for name in STATISTICS
    }
    finding = [
        f"{level}: " + ", ".join(f"{name} {found[level, name].shown(2)}" for name in STATISTICS) + "."
        for level in groups
    ]
    finding.append(
        "Intervals are bootstraps over images; those of patches are left out, for patches depend on each other."
    )
    rows = tuple((level, *(found[level, name].shown(2) for name in STATISTICS)) for level in groups)
    numbers = {f"{level}/{name}": _plain(one) for (level, name), one in found.items()}
    caption = "Scores of normal and of defective test images (mean of the three largest NLLs) and patches."
    return Analysis(
        f"Separation of scores: {product.name}", finding, numbers, command,
        [Picture("separation", draw(groups), caption)],
        {"separation": Table("Separation", ("of", *STATISTICS), rows)},
    )  # fmt: skip


def _with_interval(level: str, good: np.ndarray, bad: np.ndarray, name: str) -> Interval:
    if level == "images":
        return of_two_groups(good, bad, STATISTICS[name])
    return Interval(STATISTICS[name](good, bad), np.nan, np.nan, len(good) + len(bad))


def _plain(one: Interval) -> dict[str, float | int | None]:
    return {key: None if value != value else value for key, value in one._asdict().items()}


def draw(groups: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A histogram a level."""
    figure = new_figure(3.6 * len(groups), 2.6)
    for axes, (level, (good, bad)) in zip(
        figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True
    ):
        edges = np.histogram_bin_edges(np.concatenate([good, bad]), BINS)
        axes.hist(good, edges, density=True, color=DARK, alpha=0.6, label="normal")
        axes.hist(bad, edges, density=True, histtype="step", color=ACCENT, linewidth=1.4, label="defect")
        axes.set_xlabel(f"score of {level}, nats", fontsize=9)
        axes.set_ylabel("density, 1/nat", fontsize=9)
        plain(axes)
        axes.legend(fontsize=8, frameon=False)
    return figure
