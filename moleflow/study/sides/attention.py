"""Where each layer of the backbone is active: the norm of its features over channels."""

from pathlib import Path

import numpy as np

from moleflow.config.variants import Cnn
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, side
from moleflow.study.sides.common import Content, features_of
from moleflow.study.sides.layers import with_layers
from moleflow.utils.arrays import write_arrays

LAYERS = ("layer1", "layer2", "layer3")
IMAGES = 3
"""Test images of each label."""


def attention(bench: Bench, out: Path) -> Content:
    """Writes ``CLASS.npz``; nothing where the backbone is no CNN."""
    rows = []
    for name in bench.classes if isinstance(bench.resolved.ablation.extractor, Cnn) else ():
        test = bench.part(CLEAN, name, "test")
        samples = [sample for label in (1, 0) for sample in [s for s in test if s.label == label][:IMAGES]]
        norms = [features_of(with_layers(bench, (layer,)), samples).norm(dim=-1).numpy() for layer in LAYERS]
        maps = np.stack([_scaled(norm) for norm in norms], axis=1)
        write_arrays(
            side(out, "attention") / f"{name}.npz",
            paths=np.array([str(sample.path) for sample in samples]),
            defects=np.array([sample.defect for sample in samples]),
            maps=maps.astype(np.float16),
            layers=np.array(LAYERS),
        )
        rows.append({"class": name, "images": len(samples)})
    return {"rows": rows}


def _scaled(norms: np.ndarray) -> np.ndarray:
    """(n, H, W) -> 0..1 within each image."""
    low, high = norms.min((1, 2), keepdims=True), norms.max((1, 2), keepdims=True)
    return (norms - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
