"""Run folders with kept scores, made of random numbers: no image, no model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from moleflow.evaluation.kept import KeptScores, file_of
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.results import ClassResult, Evaluation, build_results
from moleflow.utils.io import write_json

CLASSES = ("nut", "bolt")
SIDE = 24
KINDS = ["good"] * 10 + ["crack"] * 6 + ["stain"] * 4
"""Cracks take 4 of 576 pixels (0.7 %), stains 36 (6.3 %)."""


def kept(class_name: str, gain: float, seed: int) -> KeptScores:
    """Scores that rise by ``gain`` where a defect is; noise is the class's own, and a little of the seed's."""
    labels = np.array([kind != "good" for kind in KINDS], dtype=np.int64)
    truths = np.zeros((len(KINDS), SIDE, SIDE), bool)
    truths[10:16, 5:7, 5:7] = True
    truths[16:, 10:16, 3:9] = True
    own = np.random.default_rng(sum(class_name.encode()))
    noise = own.normal(size=truths.shape) + 0.3 * np.random.default_rng(seed).normal(size=truths.shape)
    patches = (noise + gain * truths).astype(np.float32)
    images = noise.mean((1, 2)) * 10 + gain * labels
    names = np.array([f"{kind}/{index}.png" for index, kind in enumerate(KINDS)])
    sent = np.array([class_name] * len(KINDS))
    known = np.ones(len(KINDS), bool)
    return KeptScores(names, labels, np.array(KINDS), class_name, sent, images, images, patches, patches, known, truths,
                      np.zeros((0, 2)))  # fmt: skip


def write_scored_run(folder: Path, name: str, seed: int = 0, gain: float = 1.0, record: Any = None) -> Path:
    """A finished run of two tasks; on the routed way the first loses a point when the second comes."""
    run = folder / name
    results = []
    for task, class_name in enumerate(CLASSES):
        scores = kept(class_name, gain, seed)
        scores.save(file_of(run, class_name))
        values = {**image_metrics(scores.labels, scores.routed), **pixel_metrics(scores.truths, scores.maps("routed"))}
        results.append(ClassResult(class_name, task, values, values, 1.0))
    before = replace(results[0], routed={metric: value + 0.01 for metric, value in results[0].routed.items()})
    rows = [Evaluation(0, (before,), 0.8), Evaluation(1, tuple(results), 0.8, 0.9)]
    told = {"dataset": "folder", "scenario": "1-1", "order": "given", "seed": seed} if record is None else record
    write_json(run / "results.json", build_results(name, [[one] for one in CLASSES], rows, told))
    write_json(run / "config.json", {"flags": {"seed": seed, "cl_scenario": "1-1", "task_order": "given"}})
    return run
