"""A few small feature grids of a task's normal images and the scores they got: whether an expert still says the same.

A probe is made once, when the task is trained. Grids are pooled to ``SIDE`` × ``SIDE`` cells so that a probe of 768
channels takes 72 KB, and stretched again to the model's grid when they are scored.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from moleflow.extractors.batch import Batches
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.trainer.cross_fitting import scored_without
from moleflow.utils.errors import MoleflowError

IMAGES, SIDE = 3, 4
NO_IMAGE = -1
TOLERANCE = 1e-4
"""Largest difference of a score, relative to the largest score of the probe: what machines may differ by."""


@torch.no_grad()
def take_probe(model: MoLEFlow, task: str, batches: Batches) -> dict[str, Tensor]:
    """Pooled features (n, h, w, D) in fp16 of the first images, their patch scores (n, H, W) and image scores (n,)."""
    whole = next(iter(batches())).features[:IMAGES].movedim(-1, 1)
    side = (min(SIDE, whole.shape[2]), min(SIDE, whole.shape[3]))
    pooled = functional.adaptive_avg_pool2d(whole, side).movedim(1, -1).half()
    scores = probe_scores(model, task, pooled)
    return {"features": pooled, "patches": scores.patches, "images": scores.images, "asked_all": torch.ones(1)}


@torch.no_grad()
def probe_scores(model: MoLEFlow, task: str, pooled: Tensor) -> Scores:
    """What the task's expert says of pooled features (n, h, w, D), in float32 and of every patch.

    Memories answer as when they do without an image, here without any: their quick answers have eight significant bits,
    and would differ by some thousandths from one processor or version to another. The flow is asked about all patches
    (V5): stretched ones are alike, and last digits would decide where it is asked.
    """
    device = next(model.buffers()).device
    grids = pooled.to(device).float().movedim(-1, 1)
    stretched = functional.interpolate(grids, size=model.extractor.grid, mode="nearest").movedim(1, -1).contiguous()
    with model.fusion.asking_all():
        return scored_without(model, model.tasks[task], NO_IMAGE, stretched)


def largest_difference(model: MoLEFlow, task: str, probe: Mapping[str, Tensor]) -> float:
    """How far the expert's scores are from the probe's, relative to the largest of them; infinite where not finite.

    Image scores of older probes are left out where the flow was asked about few patches.

    Raises:
        MoleflowError: the probe is not one of this model.
    """
    try:
        scores = probe_scores(model, task, probe["features"])
        pairs = [(scores.patches.cpu(), probe["patches"])]
        if "asked_all" in probe or model.fusion.asks_all:
            pairs.append((scores.images.cpu(), probe["images"]))
        differences = [((new - old).abs().max() / old.abs().max().clamp_min(1)).item() for new, old in pairs]
    except (KeyError, RuntimeError, IndexError) as error:
        raise MoleflowError(f"The probe of {task!r} does not fit this model: {' '.join(str(error).split())}") from error
    return max(value if value == value else float("inf") for value in differences)
