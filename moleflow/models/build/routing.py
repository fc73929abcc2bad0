"""R: the router, and which images belong to no task."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.routing.base import Router
from moleflow.models.routing.euclidean import NearestPrototype
from moleflow.models.routing.hybrid import HybridRouter
from moleflow.models.routing.mahalanobis import PerTaskMahalanobis, TiedMahalanobis
from moleflow.models.routing.open_set import ClosedSet, OpenSet, Reject
from moleflow.models.routing.oracle import Oracle


def build_router(config: AblationConfig, dim: int) -> Router:
    """R1 to R5."""
    match config.router:
        case cfg.TiedRouter():
            return TiedMahalanobis(dim)
        case cfg.PerTaskRouter():
            return PerTaskMahalanobis(dim)
        case cfg.EuclideanRouter():
            return NearestPrototype(dim)
        case cfg.HybridRouter(top_k):
            return HybridRouter(dim, top_k)
        case cfg.OracleRouter():
            return Oracle(dim)


def build_open_set(config: AblationConfig, dim: int) -> OpenSet:
    """R6 or a closed set."""
    match config.open_set:
        case cfg.ClosedSet():
            return ClosedSet()
        case cfg.Reject(rate):
            return Reject(dim, rate)
