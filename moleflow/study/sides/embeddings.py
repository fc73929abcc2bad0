"""Patch features of every class and severity, for a map of how they lie."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import adaptive_max_pool2d

from moleflow.study.bench import Bench
from moleflow.study.layout import side
from moleflow.study.sides.common import Content, features_of
from moleflow.utils.arrays import write_arrays
from moleflow.utils.seed import derive_seed

IMAGES, PATCHES = 6, 40
"""Test images of each label, and patches of each."""


def embeddings(bench: Bench, out: Path) -> Content:
    """Writes ``embeddings.npz``; the rows count patches."""
    parts = [_drawn(bench, severity, name) for severity in bench.splits for name in bench.classes]
    names = [(name, severity) for severity in bench.splits for name in bench.classes]
    write_arrays(
        side(out, "embeddings") / "embeddings.npz",
        features=np.concatenate([features for features, _ in parts]).astype(np.float16),
        defect=np.concatenate([defect for _, defect in parts]),
        class_name=np.repeat([name for name, _ in names], [len(defect) for _, defect in parts]),
        severity=np.repeat([severity for _, severity in names], [len(defect) for _, defect in parts]),
    )
    return {"rows": [{"class": name, "severity": severity, "patches": len(defect)}
                     for (name, severity), (_, defect) in zip(names, parts, strict=True)]}  # fmt: skip


def _drawn(bench: Bench, severity: str, class_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) of some patches and whether each touches a defect, (n,); defective ones are drawn first."""
    test = bench.part(severity, class_name, "test")
    samples = [sample for label in (0, 1) for sample in [s for s in test if s.label == label][:IMAGES]]
    features = features_of(bench, samples).flatten(1, 2).numpy()
    grid, empty = bench.store.extractor.grid, np.zeros((bench.img_size,) * 2, bool)
    truths = torch.from_numpy(np.stack([empty if truth is None else truth for truth in bench.truths(samples)]))
    touched = adaptive_max_pool2d(truths[:, None].float(), grid)[:, 0].flatten(1).numpy() > 0
    random = np.random.default_rng(derive_seed(bench.seed, "embeddings", severity, class_name))
    orders = [random.permutation(features.shape[1]) for _ in samples]
    places = [
        order[np.argsort(~hit[order], kind="stable")][:PATCHES] for order, hit in zip(orders, touched, strict=True)
    ]
    pairs = list(enumerate(places))
    return (
        np.concatenate([features[image, place] for image, place in pairs]),
        np.concatenate([touched[image, place] for image, place in pairs]),
    )
