"""S: from likelihoods to patch scores, image scores, pixel maps and their scales."""

from moleflow.config import variants as cfg
from moleflow.config.ablation import AblationConfig
from moleflow.models.build.policy import Shape
from moleflow.models.scoring import aggregation
from moleflow.models.scoring.adaptive import Adaptive
from moleflow.models.scoring.calibration import Calibration, Excess, PValue, RawScores, ZScore
from moleflow.models.scoring.consistency import LocalConsistency, MultiscaleConsistency
from moleflow.models.scoring.decision import Decision, ImageDecision, RegionDecision
from moleflow.models.scoring.dual_branch import DualBranch, GuidedBlend, ImprovedBlend, LearnedBlend
from moleflow.models.scoring.limits import LimitRule, QuantileLimit, TailLimit
from moleflow.models.scoring.multi_orientation import MultiOrientation
from moleflow.models.scoring.scorer import NllScorer, NoScoreMapping, PatchScorer, ScoreMapping
from moleflow.models.scoring.smoothing import PixelMap
from moleflow.models.scoring.spatial_cluster import SpatialCluster


def build_scorer(config: AblationConfig, shape: Shape) -> PatchScorer:
    """S1, S4 or P5."""
    match config.scorer:
        case cfg.NllScore():
            return NllScorer()
        case cfg.MultiOrientation():
            return MultiOrientation()
        case cfg.DualBranch("learned"):
            return DualBranch(LearnedBlend(shape[-1]))
        case cfg.DualBranch("improved"):
            return DualBranch(ImprovedBlend(shape[-1]))
        case cfg.DualBranch():
            return DualBranch(GuidedBlend())


def build_consistency(config: AblationConfig) -> ScoreMapping:
    """S3 or nothing."""
    match config.consistency:
        case cfg.LocalConsistency(kernel):
            return LocalConsistency(kernel)
        case cfg.MultiscaleConsistency():
            return MultiscaleConsistency()
        case cfg.NoConsistency():
            return NoScoreMapping()


def build_aggregation(config: AblationConfig, shape: Shape) -> aggregation.Aggregation:
    """S2."""
    match config.aggregation:
        case cfg.TopK(k):
            return aggregation.TopK(k)
        case cfg.TopKPercent(percent):
            return aggregation.TopKPercent(percent)
        case cfg.Percentile(quantile):
            return aggregation.Percentile(quantile)
        case cfg.Max():
            return aggregation.Max()
        case cfg.Mean():
            return aggregation.Mean()
        case cfg.SpatialCluster(k, weight):
            return SpatialCluster(k, weight)
        case cfg.Adaptive():
            return Adaptive(shape[0] * shape[1])


def build_pixel_map(config: AblationConfig, size: int) -> PixelMap:
    """S5."""
    match config.smoothing:
        case cfg.GaussianSmoothing(sigma):
            return PixelMap(size, {sigma: 1.0})
        case cfg.MultiSmoothing():
            return PixelMap(size, {2.0: 0.6, 4.0: 0.4})
        case cfg.NoSmoothing():
            return PixelMap(size, {})


def build_calibration(config: AblationConfig) -> Calibration:
    """S6 or raw scores."""
    match config.calibration:
        case cfg.RawScores():
            return RawScores()
        case cfg.ZScore():
            return ZScore()
        case cfg.Excess():
            return Excess()
        case cfg.PValue():
            return PValue()


def build_limit_rule(config: AblationConfig) -> LimitRule:
    """S7."""
    match config.limit_rule:
        case cfg.QuantileLimit():
            return QuantileLimit()
        case cfg.TailLimit():
            return TailLimit()


def build_decision(config: AblationConfig) -> Decision:
    """S8 or the image's own score."""
    match config.decision:
        case cfg.ImageDecision():
            return ImageDecision()
        case cfg.RegionDecision(grid):
            return RegionDecision(grid)
