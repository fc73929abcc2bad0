"""Scores the test images of every task seen so far, on the oracle and on the routed way."""

import hashlib
from collections.abc import Iterable, Sequence
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
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow

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
        oracle, routed: image scores (n,).
    """

    samples: list[Sample]
    task: str
    routed_tasks: list[str]
    oracle_patches: Tensor
    routed_patches: Tensor
    oracle: np.ndarray
    routed: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """0 for good, 1 for defect, (n,)."""
        return np.array([sample.label for sample in self.samples])

    @property
    def routing_accuracy(self) -> float | None:
        """Share of images that the router gave their own task."""
        hits = [name == self.task for name in self.routed_tasks]
        return sum(hits) / len(hits) if hits else None


class TestData(Protocol):
    """Where the test images of a class come from."""

    def test(self, class_name: str, task: Task) -> TaskFeatures:
        """Features of the class's test images."""


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
        labels = np.concatenate([scores.labels for scores in self.scores.values()])
        routed = np.concatenate([scores.routed for scores in self.scores.values()])
        return Evaluation(tasks[-1].index, tuple(results), image_metrics(labels, routed)["image_auroc"])

    @torch.no_grad()
    def score_class(self, class_name: str, task: Task) -> ClassScores:
        """Score a class's test images under its own task, and those the router sends elsewhere under that one too."""
        features = self.data.test(class_name, task)
        oracle, routed, names = [], [], []
        for batch in features.batches():
            padded = pad(batch.features, SCORING_BATCH)
            own = self.model.score(padded, [task.name] * len(padded))[: len(batch.features)]
            sent = self.model.router(batch.features, given=[task.name] * len(batch.features))
            oracle.append(own)
            routed.append(self._rescored(padded, own, sent, task.name))
            names += sent
        oracle_patches, routed_patches = join(oracle, self.model), join(routed, self.model)
        return ClassScores(
            features.samples,
            task.name,
            names,
            oracle_patches,
            routed_patches,
            self.model.aggregation(oracle_patches).cpu().numpy(),
            self.model.aggregation(routed_patches).cpu().numpy(),
        )

    def pixel_maps(self, patches: Tensor) -> np.ndarray:
        """Patch scores (n, H, W) -> pixel maps (n, h, h)."""
        return torch.cat([self.model.pixel_map(part) for part in patches.split(SCORING_BATCH)]).cpu().numpy()

    def _rescored(self, padded: Tensor, own: Tensor, sent: list[str], task: str) -> Tensor:
        """Scores on the routed way: the image's own where the router is right."""
        scores = own.clone()
        for other in dict.fromkeys(name for name in sent if name != task):
            rows = [index for index, name in enumerate(sent) if name == other]
            scores[rows] = self.model.score(padded, [other] * len(padded))[rows]
        return scores

    def _result(self, class_name: str, task: Task) -> ClassResult:
        scores = self.scores[class_name]
        return ClassResult(
            class_name,
            task.index,
            self._metrics(scores, scores.oracle_patches, scores.oracle),
            self._metrics(scores, scores.routed_patches, scores.routed),
            scores.routing_accuracy if self.model.router.chooses else None,
        )

    def _metrics(self, scores: ClassScores, patches: Tensor, image_scores: np.ndarray) -> dict[str, float | None]:
        """Metrics of one class; computed once for bit-identical scores."""
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


def join(parts: Iterable[Tensor], model: MoLEFlow) -> Tensor:
    """Concatenate patch scores; a class without test images has none."""
    return torch.cat([torch.zeros(0, *model.extractor.grid), *(part.cpu() for part in parts)])
