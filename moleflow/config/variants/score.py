"""S: from likelihoods to scores, maps and decisions."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class NllScore:
    """S1: a patch's score is its negative log-likelihood."""


@dataclass(frozen=True)
class MultiOrientation:
    """P5: the image's features are scored under four rotations; the likeliest counts."""


@dataclass(frozen=True)
class DualBranch:
    """S4: scores with and without position, blended for each patch."""

    blend: str = knob("learned", "Where the blend comes from.", "dual_blend", choices=("learned", "improved", "guided"))


@dataclass(frozen=True)
class NoConsistency:
    """A patch's score stands for itself."""


@dataclass(frozen=True)
class LocalConsistency:
    """S3: a score is weighted by its agreement with its neighbourhood."""

    kernel: int = knob(3, "Neighbourhood, odd.", "local_consistency_kernel", low=1)


@dataclass(frozen=True)
class MultiscaleConsistency:
    """S3: neighbourhoods of 3, 5 and 7, fused by weights of the task's own."""


@dataclass(frozen=True)
class TopK:
    """Mean of the k highest patch scores."""

    k: int = knob(3, "Patches that decide an image.", "score_aggregation_top_k", low=1)


@dataclass(frozen=True)
class TopKPercent:
    """Mean of the highest share of patch scores."""

    percent: float = knob(
        5.0, "Percent of patches that decide an image.", "score_aggregation_top_k_percent", low=0, high=100
    )


@dataclass(frozen=True)
class Percentile:
    """A quantile of the patch scores."""

    quantile: float = knob(0.99, "Quantile of an image's patch scores.", "score_aggregation_percentile", low=0, high=1)


@dataclass(frozen=True)
class Max:
    """The highest patch score."""


@dataclass(frozen=True)
class Mean:
    """The mean patch score."""


@dataclass(frozen=True)
class SpatialCluster:
    """Top-k, raised where the highest scores lie together."""

    k: int = knob(3, "Patches that decide an image.", "score_aggregation_top_k", low=1)
    weight: float = knob(0.5, "Weight of the share that lies together.", "cluster_weight", low=0)


@dataclass(frozen=True)
class Adaptive:
    """An attention of the task's own over sorted patch scores."""


@dataclass(frozen=True)
class GaussianSmoothing:
    """S5: pixel maps are bilinear enlargements smoothed by one Gaussian."""

    sigma: float = knob(4.0, "Gaussian σ of the pixel map, in pixels of the input size.", "smoothing_sigma", low=0.01)


@dataclass(frozen=True)
class MultiSmoothing:
    """S5, mixed: 0.6 of σ = 2 and 0.4 of σ = 4."""


@dataclass(frozen=True)
class NoSmoothing:
    """Pixel maps are bilinear enlargements."""


@dataclass(frozen=True)
class RawScores:
    """Image scores are as aggregated: comparable within a task only."""


@dataclass(frozen=True)
class ZScore:
    """S6: image scores in standard deviations of the task's held-out normal scores."""


@dataclass(frozen=True)
class Excess:
    """S6: image scores in mean excesses of the task's held-out normal scores over their median."""


@dataclass(frozen=True)
class PValue:
    """S6: image scores as p-values under the task's held-out normal scores (small = anomalous)."""


@dataclass(frozen=True)
class QuantileLimit:
    """S7: a threshold is one of the scores of held-out normal images: their split-conformal quantile."""


@dataclass(frozen=True)
class TailLimit:
    """S7: a threshold is read off a generalized Pareto tail fitted to the scores of held-out normal images."""


@dataclass(frozen=True)
class ImageDecision:
    """An image is anomalous when its score is above its task's threshold."""


@dataclass(frozen=True)
class RegionDecision:
    """S8: an image is anomalous when the highest patch score of some region is above that region's threshold."""

    grid: int = knob(4, "Regions on each side of an image.", "region_grid", low=1, high=64)
