"""Fewer channels: PatchCore on principal components and on random projections of the features."""

from pathlib import Path

import torch
from torch import Tensor

from moleflow.baselines.base import PeerScores
from moleflow.baselines.patchcore import PatchCore
from moleflow.study.bench import Bench
from moleflow.study.sides.common import Content, features_of, patchcore, peer_metrics, training

DIMS = (16, 32, 64)


class Projected(PatchCore):
    """A fitted PatchCore that is shown features after a linear map.

    Args:
        inner: the peer, fitted to mapped features.
        matrix: (D, d).
    """

    def __init__(self, inner: PatchCore, matrix: Tensor):
        self.inner, self.matrix = inner, matrix

    def score(self, features: Tensor) -> PeerScores:
        """Scores of mapped features."""
        return self.inner.score(features @ self.matrix)


def projection(bench: Bench, out: Path) -> Content:
    """A row for each class, kind of map and number of channels left."""
    rows = []
    for name in bench.classes:
        features = features_of(bench, training(bench, name))
        for kind, matrix in _maps(features, bench.seed):
            peer = Projected(patchcore(bench, features @ matrix), matrix)
            about = {"class": name, "projection": kind, "dim": matrix.shape[1], "images": len(features)}
            rows.append({**about, **peer_metrics(bench, peer, name)})
    return {"rows": rows}


def _maps(features: Tensor, seed: int) -> list[tuple[str, Tensor]]:
    """Kind and matrix (D, d): the identity, the first principal directions, Gaussian draws (Johnson–Lindenstrauss)."""
    dim = features.shape[-1]
    dims = [kept for kept in DIMS if kept < dim]
    covariance = torch.cov(features.reshape(-1, dim).T.double())
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1).float()
    draw = torch.Generator().manual_seed(seed)
    random = [torch.randn(dim, kept, generator=draw) / kept**0.5 for kept in dims]
    return [
        ("none", torch.eye(dim)),
        *(("pca", directions[:, :kept]) for kept in dims),
        *(("random", matrix) for matrix in random),
    ]
