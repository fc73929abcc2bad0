"""What side studies share."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.patchcore import PatchCore
from moleflow.data.sample import Sample
from moleflow.evaluation.scored import Scored
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, STUDY, TEST, VAL, cell
from moleflow.study.methods import PeerDetector
from moleflow.study.phases import look
from moleflow.study.results import metrics_of
from moleflow.utils.io import read_json

Content = dict[str, Any]
"""What a side study's ``result.json`` holds."""

IMAGES = 40
"""Training images a class; every row says how many there were."""


def training(bench: Bench, class_name: str, severity: str = CLEAN, images: int = IMAGES) -> tuple[Sample, ...]:
    """The first training images of a class."""
    return bench.part(severity, class_name, "train")[:images]


def features_of(bench: Bench, samples: Sequence[Sample]) -> Tensor:
    """Features (n, H, W, D)."""
    return torch.cat(list(bench.batches(samples)))


def patchcore(bench: Bench, features: Tensor, ratio: float = 0.01, candidates: int = 10_000) -> PatchCore:
    """PatchCore fitted to features (n, H, W, D).

    Raises:
        UsageError: anomalib is not installed.
    """
    peer = get_model("patchcore", img_size=bench.img_size, coreset_ratio=ratio, candidates=candidates, seed=bench.seed)
    assert isinstance(peer, PatchCore)
    peer.fit([features])
    return peer


def peer_metrics(bench: Bench, peer: PatchCore, class_name: str) -> Content:
    """Metrics and milliseconds of a peer on a class's clean test images."""
    seen = look(bench, PeerDetector(peer, 0.0), CLEAN, class_name, "test")
    return {"ms_per_image": seen.ms_per_image, **metrics_of(bench, seen.scored)}


def cells_done(out: Path, phase: str) -> list[tuple[str, str, str, Path]]:
    """(method, severity, class, folder) of each cell of a phase that has scores."""
    study = read_json(out / STUDY)
    keys = product(study["methods"], [CLEAN, *study["severities"]], study["classes"])
    found = [(*key, cell(out, key[0], key[1], phase, key[2])) for key in keys]
    return [row for row in found if (row[3] / VAL).exists() and (row[3] / TEST).exists()]


def scores_of(folder: Path) -> tuple[Scored, Scored]:
    """Validation and test scores of a cell."""
    return Scored.load(folder / VAL), Scored.load(folder / TEST)
