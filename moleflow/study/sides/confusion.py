"""One bank for all classes: whose training patches are nearest to whose test patches?"""

from pathlib import Path

import numpy as np
import torch

from moleflow.data.sample import Sample
from moleflow.study.bench import Bench
from moleflow.study.sides.common import Content, features_of, patchcore, training


def confusion(bench: Bench, out: Path) -> Content:
    """A row for each severity, clean among them."""
    return {"rows": [{"severity": severity, **_of(bench, severity)} for severity in bench.splits]}


def _of(bench: Bench, severity: str) -> Content:
    """``matrix``: share of patches of a class's normal test images (row) whose nearest patch is a class's (column)."""
    shown = [features_of(bench, training(bench, name, severity)) for name in bench.classes]
    peer = patchcore(bench, torch.cat(shown))
    owner = {row.tobytes(): place for place, part in enumerate(shown) for row in part.flatten(0, 2).numpy()}
    owners = np.array([owner[row.tobytes()] for row in peer.bank.numpy()])
    matrix = []
    for name in bench.classes:
        nearest = [peer.nearest(features)[1].flatten() for features in bench.batches(_normal(bench, severity, name))]
        found = owners[torch.cat(nearest).numpy()]
        matrix.append([float((found == place).mean()) for place in range(len(bench.classes))])
    return {"classes": list(bench.classes), "images": len(torch.cat(shown)), "matrix": matrix}


def _normal(bench: Bench, severity: str, class_name: str) -> list[Sample]:
    return [sample for sample in bench.part(severity, class_name, "test") if sample.label == 0]
