"""t-SNE of patch features: does a shift move patches farther than products lie apart?"""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.evaluation.report.figures.canvas import label, new_figure
from moleflow.utils.arrays import read_arrays

MOST = 1500
MARKS = ("o", "^", "s", "v", "D", "x")


def embeddings(study: Study, seed: int = 0) -> Analysis:
    """The picture (van der Maaten & Hinton 2008), and distances in the features' own space, which it distorts.

    Raises:
        LeftOut: no features were kept.
        MoleflowError: the file is damaged.
    """
    file = study.out / "side" / "embeddings" / "embeddings.npz"
    if not file.is_file():
        raise LeftOut("no patch features were kept")
    features, names, severities, defects = read_arrays(file, _columns, "patch features", "run the study again")
    chosen = np.random.default_rng(seed).permutation(len(features))[:MOST]
    reduced = PCA(min(30, *features[chosen].shape), random_state=seed).fit_transform(features[chosen])
    places = TSNE(2, perplexity=min(30, len(chosen) / 4), random_state=seed, init="pca").fit_transform(reduced)
    moved = shifts(features, names, severities, defects)
    sentences = [f"{severity}: the mean normal patch moves by {share:.2f} of the distance between products."
                 for severity, share in moved.items()]  # fmt: skip
    figure = draw(places, names[chosen], severities[chosen], defects[chosen])
    caption = "t-SNE of patch features; crosses are patches of defects. Left by product, right by severity."
    return Analysis("Patch features", sentences or ["One product: no distance to compare with."], {"moved": moved}, "",
                    [Picture("tsne", figure, caption)])  # fmt: skip


def _columns(stored: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return stored["features"].astype(float), *(stored[name] for name in ("class_name", "severity", "defect"))


def shifts(features: np.ndarray, names: np.ndarray, severities: np.ndarray, defects: np.ndarray) -> dict[str, float]:
    """Mean distance between a product's clean and shifted centre over that between clean centres of products."""
    centre = lambda name, severity: features[(names == name) & (severities == severity) & ~defects].mean(0)
    products = np.unique(names)
    if len(products) < 2:
        return {}
    clean = [centre(name, "clean") for name in products]
    apart = np.mean([np.linalg.norm(a - b) for i, a in enumerate(clean) for b in clean[i + 1 :]])
    return {
        str(severity): float(np.mean([np.linalg.norm(centre(name, severity) - base)
                                      for name, base in zip(products, clean, strict=True)]) / apart)
        for severity in np.unique(severities) if severity != "clean"
    }  # fmt: skip


def draw(places: np.ndarray, names: np.ndarray, severities: np.ndarray, defects: np.ndarray) -> Figure:
    """Two panels of the same points."""
    figure = new_figure(7.4, 3.4)
    for axes, groups in zip(figure.subplots(1, 2), (names, severities), strict=True):
        for index, group in enumerate(np.unique(groups)):
            mine = (groups == group) & ~defects
            grey = 0.15 + 0.6 * index / max(1, len(np.unique(groups)) - 1)
            axes.scatter(*places[mine].T, s=7, color=str(grey), marker=MARKS[index % len(MARKS)], linewidths=0,
                         label=label(str(group), 18))  # fmt: skip
        axes.scatter(*places[defects].T, s=14, color="#c2410c", marker="x", linewidths=0.7, label="defect")
        axes.set_xlabel("t-SNE 1 (no unit)", fontsize=8)
        axes.set_ylabel("t-SNE 2 (no unit)", fontsize=8)
        axes.tick_params(labelsize=6)
        axes.legend(fontsize=6, frameon=False)
    return figure
