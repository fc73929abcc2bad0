"""From patch scores to an image score: PatchCore's distances, put together in four ways."""

from pathlib import Path

import numpy as np
import torch

from moleflow.evaluation.metrics import image_metrics
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN
from moleflow.study.sides.common import Content, features_of, patchcore, training


def aggregation(bench: Bench, out: Path) -> Content:
    """A row for each class and aggregation, image metrics only: maps are the same."""
    rows = []
    for name in bench.classes:
        peer = patchcore(bench, features_of(bench, training(bench, name)))
        samples = bench.part(CLEAN, name, "test")
        distances, reweighted = [], []
        for features in bench.batches(samples):
            distances.append(peer.nearest(features)[0].flatten(1))
            reweighted.append(peer.score(features).images)
        patches = torch.cat(distances)  # (n, H·W)
        ways = {
            "max": patches.amax(1).numpy(), "reweighted": np.concatenate(reweighted),
            "top_3": patches.topk(3).values.mean(1).numpy(), "mean": patches.mean(1).numpy(),
        }  # fmt: skip
        labels = np.array([sample.label for sample in samples])
        rows += [{"class": name, "aggregation": way, **image_metrics(labels, scores)} for way, scores in ways.items()]
    return {"rows": rows}
