"""From scores to what ``result.json`` of a cell holds."""

from typing import Any

import numpy as np

from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.scored import Scored
from moleflow.evaluation.thresholds import f1_max_threshold
from moleflow.study.bench import Bench


def threshold_of(scored: Scored) -> float:
    """F1-max on labelled validation images; where none is defective, the largest score of a normal one."""
    return f1_max_threshold(scored.images, scored.labels, fallback=lambda scores: float(scores.max()))


def pooled(parts: list[Scored]) -> Scored:
    """Images of several classes as one list."""
    samples = tuple(sample for part in parts for sample in part.samples)
    images, maps = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "maps"))
    return Scored(samples, images, maps)


def at_threshold(scored: Scored, threshold: float) -> dict[str, float | int | None]:
    """What decisions ``score > threshold`` are worth: counts and rates, None where a rate's denominator is 0."""
    called, bad = scored.images > threshold, scored.labels.astype(bool)
    tp, fp = int((called & bad).sum()), int((called & ~bad).sum())
    fn, tn = int((~called & bad).sum()), int((~called & ~bad).sum())
    ratio = lambda hits, of: hits / of if of else None
    return {
        "accuracy": ratio(tp + tn, tp + fp + fn + tn), "precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn), "tp": tp, "fp": fp, "tn": tn, "fn": fn,
    }  # fmt: skip


def metrics_of(bench: Bench, scored: Scored) -> dict[str, float | None]:
    """Image and pixel metrics of ``moleflow.evaluation.metrics``."""
    return {**image_metrics(scored.labels, scored.images), **pixel_metrics_of(bench, scored)}


def pixel_metrics_of(bench: Bench, scored: Scored) -> dict[str, float | None]:
    """Pixel metrics over the images whose defects are known pixel by pixel; all None without one."""
    truths = dict(enumerate(bench.truths(scored.samples)))
    known = {place: truth for place, truth in truths.items() if truth is not None}
    if not any(truth.any() for truth in known.values()):
        size = bench.img_size
        return pixel_metrics(np.zeros((0, size, size), bool), np.zeros((0, size, size), np.float32))
    return pixel_metrics(np.stack(list(known.values())), scored.maps[list(known)])


def judged(bench: Bench, test: Scored, threshold: float) -> dict[str, Any]:
    """A threshold and what it and the scores are worth on test images."""
    return {
        "threshold": threshold,
        "at_threshold": at_threshold(test, threshold),
        "metrics": metrics_of(bench, test),
    }
