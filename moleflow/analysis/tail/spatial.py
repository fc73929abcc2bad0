"""Where an image's least likely patches lie, and whether that is where the image has edges."""

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from moleflow.analysis.intervals import mean_interval
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.tail.patches import Patches, Product, tail_of
from moleflow.analysis.tail.resample import over_images
from moleflow.evaluation.report.figures.canvas import new_figure


def edge_correlation(patches: Patches) -> np.ndarray:
    """Spearman's ρ between NLL and edge strength over the patches of each image, (n,)."""
    pairs = zip(patches.nll.reshape(len(patches.nll), -1), patches.edges.reshape(len(patches.nll), -1), strict=True)
    return np.array([stats.spearmanr(nll, edges).statistic for nll, edges in pairs])


def edge_ratio(rows: np.ndarray) -> float:
    """Mean edge strength of tail patches over that of the rest; rows (n, 2) hold each image's two means."""
    return float(rows[:, 0].mean() / rows[:, 1].mean())


def spatial(product: Product, command: str = "") -> Analysis:
    """The study on the product's training images."""
    patches, tail = product.train, tail_of(product.train.nll, product.ratio)
    share = tail.mean(0)
    correlation = mean_interval(list(edge_correlation(patches)))
    means = np.array(
        [[edges[mask].mean(), edges[~mask].mean()] for edges, mask in zip(patches.edges, tail, strict=True)]
    )
    ratio = over_images(means, edge_ratio)
    border = np.ones(share.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    on_border, expected = float(tail[:, border].sum() / tail.sum()), float(border.mean())
    finding = [
        f"Rank correlation of a patch's NLL with the edge strength in its cell, mean over {correlation.n} images: "
        f"{correlation.shown(2)}{': no effect' if correlation.says_nothing else ''}.",
        f"Tail patches have {ratio.shown(2)} times the edge strength of the rest"
        f"{': no effect' if ratio.low <= 1 <= ratio.high else ''}.",
        f"{100 * on_border:.0f} % of tail patches touch the border, which is {100 * expected:.0f} % of the grid.",
    ]
    numbers = {
        "edge_correlation": correlation._asdict(),
        "edge_ratio": ratio._asdict(),
        "border_share": on_border,
        "border_expected": expected,
        "tail_share": share.round(5).tolist(),
    }
    caption = (
        "Left: how often a patch is in its image's tail. Middle: mean edge strength. Right: one against the other."
    )
    return Analysis(
        f"Where the tail lies: {product.name}", finding, numbers, command,
        [Picture("spatial", draw(share, patches.edges.mean(0)), caption)],
    )  # fmt: skip


def draw(share: np.ndarray, edges: np.ndarray) -> Figure:
    """Two maps and a scatter."""
    figure = new_figure(8.0, 2.6)
    left, middle, right = figure.subplots(1, 3)
    for axes, values, title in ((left, 100 * share, "share in tail, %"), (middle, edges, "edge strength, grey/pixel")):
        figure.colorbar(axes.imshow(values, cmap="Greys"), ax=axes, shrink=0.8, label=title)
        axes.set_xlabel("column of the grid", fontsize=8)
        axes.set_ylabel("row of the grid", fontsize=8)
    right.scatter(edges, 100 * share, s=6, color="0.2", linewidths=0)
    right.set_xlabel("edge strength, grey/pixel", fontsize=8)
    right.set_ylabel("share in tail, %", fontsize=8)
    return figure
