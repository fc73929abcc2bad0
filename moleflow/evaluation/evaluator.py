"""Scores the test images of every task seen so far, on the oracle and on the routed way."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.data.datasets import Sample
from moleflow.data.images import pixel_truth
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.results import ClassResult, Evaluation
from moleflow.evaluation.thresholds import decision_metrics
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.scoring.calibration import Calibration, Excess, RawScores

SCORING_BATCH = 32
"""Images scored together; the last batch is padded to it, so that scores do not depend on how many images there are."""


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class's test images.

    Attributes:
        samples: the images.
        task: the name of the class's task.
        routed_tasks: the task the router gave each image.
        oracle_patches, routed_patches: patch scores (n, H, W) under the true and under the routed task.
        oracle, routed: image scores (n,), raw: on the scale of the task they were taken under.
        unknown: whether the open set calls the image unknown, (n,) bool.
    """

    samples: list[Sample]
    task: str
    routed_tasks: list[str]
    oracle_patches: Tensor
    routed_patches: Tensor
    oracle: np.ndarray
    routed: np.ndarray
    unknown: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """0 for good, 1 for defect, (n,)."""
        return np.array([sample.label for sample in self.samples])

    @property
    def routing_accuracy(self) -> float | None:
        """Share of images that the router gave their own task."""
        hits = [name == self.task for name in self.routed_tasks]
        return sum(hits) / len(hits) if hits else None

    def only(self, rows: Sequence[int]) -> "ClassScores":
        """The scores of some of the images."""
        return ClassScores(
            [self.samples[row] for row in rows],
            self.task,
            [self.routed_tasks[row] for row in rows],
            self.oracle_patches[rows],
            self.routed_patches[rows],
            self.oracle[rows],
            self.routed[rows],
            self.unknown[rows],
        )

    def share_unknown(self, label: int) -> float | None:
        """Share of the images with a label that are called unknown."""
        chosen = self.unknown[self.labels == label]
        return float(chosen.mean()) if len(chosen) else None


class TestData(Protocol):
    """Where the test images of a class come from."""

    def test(self, class_name: str, task: Task) -> TaskFeatures:
        """Features of the class's test images."""

    def reject(self, sample: Sample, reason: str) -> None:
        """Leave a test image out of all results, or raise where none may be left out."""


class Evaluator:
    """Evaluates a model on the classes of its tasks.

    Args:
        model: the model.
        data: where test images come from.
        resize: how images and masks are brought to the input size.
    """

    def __init__(self, model: MoLEFlow, data: TestData, resize: str):
        self.model = model
        self.data = data
        self.resize = resize
        self._metrics_of: dict[str, dict[str, float | None]] = {}
        self.scores: dict[str, ClassScores] = {}

    def evaluate(self, tasks: Sequence[Task]) -> Evaluation:
        """Evaluate every class of the tasks seen so far; ``scores`` holds what was scored."""
        self.scores = {name: self.score_class(name, task) for task in tasks for name in task.classes}
        results = [self._result(name, task) for task in tasks for name in task.classes]
        scale = self.pooling_scale
        return Evaluation(
            tasks[-1].index, tuple(results), self._pooled(RawScores()), self._pooled(scale), pooled_unit=scale.unit
        )

    @property
    def pooling_scale(self) -> Calibration:
        """The scale on which images of all tasks are ranked together: the run's own if it is one, else excesses."""
        return self.model.calibration if self.model.calibration.comparable else Excess()

    @torch.no_grad()
    def score_class(self, class_name: str, task: Task) -> ClassScores:
        """Score a class's test images under its own task, and those the router sends elsewhere under that one too."""
        features = self.data.test(class_name, task)
        own, sent, names, unknown = [], [], [], []
        for batch in features.batches():
            padded = pad(batch.features, SCORING_BATCH)
            count = len(batch.features)
            routed = self.model.route(batch.features, given=[task.name] * count)
            scores = self.model.score(padded, [task.name] * len(padded))
            own.append(first(scores, count))
            sent.append(self._rescored(padded, own[-1], routed, task.name))
            names += routed
            unknown += self.model.unknown(batch.features, routed).tolist()
        oracle, routed_scores = join(own, self.model), join(sent, self.model)
        return self._finite(
            ClassScores(
                features.samples,
                task.name,
                names,
                oracle.patches,
                routed_scores.patches,
                oracle.images.numpy(),
                routed_scores.images.numpy(),
                np.array(unknown, dtype=bool),
            )
        )

    def _finite(self, scores: ClassScores) -> ClassScores:
        """The scores without images that have none; each of them is named."""
        patches = torch.isfinite(scores.oracle_patches) & torch.isfinite(scores.routed_patches)
        sound = patches.flatten(1).all(1).numpy() & np.isfinite(scores.oracle) & np.isfinite(scores.routed)
        for index in np.flatnonzero(~sound):
            reason = f"its score under the expert of {scores.routed_tasks[index]!r} is not a finite number"
            self.data.reject(scores.samples[index], reason)
        return scores if sound.all() else scores.only(np.flatnonzero(sound).tolist())

    def calibrated(self, raw: np.ndarray, tasks: Sequence[str], scale: Calibration | None = None) -> np.ndarray:
        """Raw image scores (n,) of the given tasks on a scale (default: the run's own), (n,)."""
        return self.model.calibrated(torch.from_numpy(raw).to(self._device), tasks, scale).cpu().numpy()

    def as_measured(self, raw: np.ndarray, tasks: Sequence[str]) -> np.ndarray:
        """The image scores (n,) that metrics are taken of: on the run's scale, raw where a task has none."""
        ranked = self._ranked(raw, tasks, self.model.calibration)
        return raw if ranked is None else ranked

    def decided(self, patches: Tensor, raw: np.ndarray, tasks: Sequence[str]) -> list[bool | None]:
        """Whether images with these raw scores are anomalous as products of the given tasks; None without threshold."""
        scores = Scores(patches.to(self._device), torch.from_numpy(raw).to(self._device))
        anomalous = self.model.decide(scores, tasks).tolist()
        known = {task: not self.model.threshold(task).isnan() for task in set(tasks)}
        return [called if known[task] else None for called, task in zip(anomalous, tasks, strict=True)]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def _ranked(self, raw: np.ndarray, tasks: Sequence[str], scale: Calibration) -> np.ndarray | None:
        """Scores on a scale, turned so that higher is more anomalous; None where a task has no such scale."""
        values = self.calibrated(raw, tasks, scale)
        if np.isnan(values).any():
            return None
        return values if scale.higher_is_anomalous else -values

    def _pooled(self, scale: Calibration) -> float | None:
        """Image AUROC over the images of all classes together."""
        ranked = [self._ranked(scores.routed, scores.routed_tasks, scale) for scores in self.scores.values()]
        known = [values for values in ranked if values is not None]
        if len(known) < len(ranked):
            return None
        labels = np.concatenate([scores.labels for scores in self.scores.values()])
        return image_metrics(labels, np.concatenate(known))["image_auroc"]

    def pixel_maps(self, patches: Tensor) -> np.ndarray:
        """Patch scores (n, H, W) -> pixel maps (n, h, h)."""
        return torch.cat([self.model.pixel_map(part) for part in patches.split(SCORING_BATCH)]).cpu().numpy()

    def _rescored(self, padded: Tensor, own: Scores, routed: list[str], task: str) -> Scores:
        """Scores on the routed way: the image's own where the router is right."""
        patches, images = own.patches.clone(), own.images.clone()
        for other in dict.fromkeys(name for name in routed if name != task):
            rows = [index for index, name in enumerate(routed) if name == other]
            scores = self.model.score(padded, [other] * len(padded))
            patches[rows], images[rows] = scores.patches[rows], scores.images[rows]
        return Scores(patches, images)

    def _result(self, class_name: str, task: Task) -> ClassResult:
        scores = self.scores[class_name]
        own, reference = [task.name] * len(scores.samples), self.model.reference[task.name]
        return ClassResult(
            class_name,
            task.index,
            self.metrics(scores, scores.oracle_patches, scores.oracle, own),
            self.metrics(scores, scores.routed_patches, scores.routed, scores.routed_tasks),
            scores.routing_accuracy if self.model.router.chooses else None,
            len(reference.scores),
            self._unknown(scores),
            None if reference.rate.isnan() else reference.rate.item(),
            {
                "routed": self._decisions(scores, scores.routed_patches, scores.routed, scores.routed_tasks),
                "oracle": self._decisions(scores, scores.oracle_patches, scores.oracle, own),
            },
        )

    def _decisions(
        self, scores: ClassScores, patches: Tensor, raw: np.ndarray, tasks: Sequence[str]
    ) -> dict[str, float | None]:
        """Decision metrics of one class, on the images that are decided."""
        decided = self.decided(patches, raw, tasks)
        kept = np.array([called is not None for called in decided], dtype=bool)
        return decision_metrics(scores.labels[kept], np.array([called for called in decided if called is not None]))

    def _unknown(self, scores: ClassScores) -> dict[str, float | None]:
        rejects = self.model.open_set.rejects
        return {
            name: scores.share_unknown(label) if rejects else None for label, name in enumerate(("normal", "defect"))
        }

    def metrics(
        self, scores: ClassScores, patches: Tensor, raw: np.ndarray, tasks: Sequence[str]
    ) -> dict[str, float | None]:
        """Metrics of one class, computed once for bit-identical scores."""
        image_scores = self.as_measured(raw, tasks)
        key = hashlib.sha256(patches.cpu().numpy().tobytes() + image_scores.tobytes()).hexdigest()
        if key not in self._metrics_of:
            pixels = self._pixel_metrics(scores, patches)
            self._metrics_of[key] = {**image_metrics(scores.labels, image_scores), **pixels}
        return self._metrics_of[key]

    def _pixel_metrics(self, scores: ClassScores, patches: Tensor) -> dict[str, float | None]:
        size = self.model.extractor.img_size
        truths = {index: pixel_truth(sample, size, self.resize) for index, sample in enumerate(scores.samples)}
        known = {index: truth for index, truth in truths.items() if truth is not None}
        if not any(truth.any() for truth in known.values()):
            return pixel_metrics(np.zeros((0, size, size), bool), np.zeros((0, size, size), np.float32))
        return pixel_metrics(np.stack(list(known.values())), self.pixel_maps(patches[list(known)]))


def pad(features: Tensor, batch: int) -> Tensor:
    """Append zeros up to a full batch: (n, H, W, D) -> (batch, H, W, D)."""
    missing = batch - len(features)
    return torch.cat([features, features.new_zeros(missing, *features.shape[1:])]) if missing > 0 else features


def first(scores: Scores, count: int) -> Scores:
    """The scores of the first images of a batch."""
    return Scores(scores.patches[:count], scores.images[:count])


def join(parts: Sequence[Scores], model: MoLEFlow) -> Scores:
    """Concatenate scores of batches, on the CPU; a class without test images has none."""
    patches = [torch.zeros(0, *model.extractor.grid), *(part.patches.cpu() for part in parts)]
    return Scores(torch.cat(patches), torch.cat([torch.zeros(0), *(part.images.cpu() for part in parts)]))
