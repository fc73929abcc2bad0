"""Rows on inference: from images to maps, against the backbone's pass alone; mixed batches; latency."""

from collections.abc import Sequence
from functools import partial
from statistics import quantiles

import torch

from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio, seconds_of
from moleflow.models.mole_nf import MoLEFlow

LITE0, RESNET = "tf_efficientnet_lite0", "resnet50_v1"
MIXED = 10


def several_products(backbone: str, setting: Setting) -> MoLEFlow:
    """A model that has something to route to."""
    return setting.model(backbone, mixed_in(setting) if backbone == LITE0 else 2)


def mixed_in(setting: Setting) -> int:
    """Products in a mixed batch."""
    return 2 if setting.quick else MIXED


@torch.no_grad()
def routed_vs_backbone(backbone: str, setting: Setting) -> Found:
    """Time of ``predict`` on one image over the time of its features."""
    model, image = several_products(backbone, setting), setting.images[:1]
    ways = {"backbone": lambda: model.extractor(image), "routed": lambda: model.predict(image)}
    times = alternating(ways, 3 * setting.rounds, setting.device)
    return Found(ratio(times, "routed", "backbone"), in_ms(times))


@torch.no_grad()
def mixed_batch(setting: Setting) -> Found:
    """Throughput on a batch of ten products over that on a batch of one."""
    model, count = several_products(LITE0, setting), mixed_in(setting)
    images, one, all_of_them = setting.images[:count], [next(iter(model.tasks))] * count, list(model.tasks)
    score = lambda tasks: model.predict(images, tasks)
    ways = {"one": lambda: score(one), "all": lambda: score(all_of_them)}
    times = alternating(ways, setting.rounds, setting.device)
    return Found(ratio(times, "one", "all"), f"an image of {count}: {in_ms(times, count)}")


@torch.no_grad()
def latency(setting: Setting) -> Found:
    """95th percentile of the milliseconds of a routed image."""
    model, image = several_products(LITE0, setting), setting.images[:1]
    model.predict(image)
    seconds = [seconds_of(lambda: model.predict(image), setting.device) for _ in range(20 * setting.rounds)]
    return Found(*_percentiles(seconds))


def _percentiles(seconds: Sequence[float]) -> tuple[float, str]:
    cuts = [1e3 * cut for cut in quantiles(seconds, n=100, method="inclusive")]
    return cuts[94], f"p50 {cuts[49]:.3g} ms, p95 {cuts[94]:.3g} ms, p99 {cuts[98]:.3g} ms"


ROWS = {
    "routed_vs_backbone_lite0": Row("one routed image with lite0 over its backbone's pass", "≤", 1.5,
                                    partial(routed_vs_backbone, LITE0)),
    "routed_vs_backbone_resnet50": Row("one routed image with resnet50_v1 over its backbone's pass", "≤", 1.15,
                                       partial(routed_vs_backbone, RESNET)),
    "mixed_batch": Row("throughput on a batch of ten products over a batch of one", "≥", 0.8, mixed_batch),
    "latency_p95": Row("one routed image with lite0, 95th percentile, ms", "≤", None, latency),
}  # fmt: skip
