"""V: second views of a task's patches, in closed form, fused with the flow's score; and how much the frame counts."""

from dataclasses import dataclass

from moleflow.config.knobs import knob


@dataclass(frozen=True)
class PlaceGaussian:
    """V1: a low-rank Gaussian for each place of the grid."""

    grid: int = knob(16, "Places along a side.", "place_gaussian_grid", low=1)
    rank: int = knob(16, "Rank of what a place's covariance adds to the shared one.", "place_gaussian_rank", low=1)


@dataclass(frozen=True)
class NoPlaceGaussian:
    """No Gaussians beside the flow."""


@dataclass(frozen=True)
class PatchMemory:
    """V3: distance to the nearest of a few normal patches, wherever they lay."""

    size: int = knob(2000, "Patches kept of a task, in each of its memories.", "patch_memory_size", low=1)
    poolings: tuple[int, ...] = knob(
        (1, 2), "Cells along a side that are pooled to one patch: a memory for each.", "patch_memory_pooling", low=1
    )
    counts: float = knob(1.0, "How much each memory counts beside the flow's 1.", "patch_memory_weight", low=0)
    candidates: int = knob(100_000, "Patches a memory is chosen from, at most.", "patch_memory_candidates", low=1)
    shallow: tuple[float, ...] = knob(
        (1.0,), "What the first channel counts beside the last: one number, or one a memory.", "patch_memory_shallow",
        low=1e-3, high=1e3,
    )  # fmt: skip
    directions: tuple[int, ...] = knob(
        (0,), "Principal directions patches are compared along (0: every channel): one number, or one a memory.",
        "patch_memory_directions", low=0,
    )  # fmt: skip


@dataclass(frozen=True)
class NoPatchMemory:
    """No patches are kept."""


@dataclass(frozen=True)
class MapOfAll:
    """What says whether an image is anomalous says where, too."""


@dataclass(frozen=True)
class MapOfFinest:
    """V4: the map is drawn by the views on the features' own grid."""

    flow_share: float = knob(
        1.0,
        "V5: share of an image's patches that the flow judges: those that the views find most unusual.",
        "flow_share",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class BorderRamp:
    """V2: scores near the frame count less."""

    share: float = knob(
        0.1, "Part of the side over which their weight rises.", "border_ramp", low=0, high=0.5, selects=True
    )


@dataclass(frozen=True)
class GroundWeight:
    """V6: scores count less where normal images hardly differ."""

    quantile: float = knob(
        0.9,
        "Places whose normal patches differ as much as this quantile of all places count in full.",
        "ground_quantile",
        low=0,
        high=1,
        selects=True,
    )


@dataclass(frozen=True)
class NoBorderRamp:
    """Every patch counts the same."""
