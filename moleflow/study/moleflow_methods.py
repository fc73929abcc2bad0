"""MoLE-Flow under a shift: the shifted domain as one more task, or as the new content of its class's expert."""

import copy
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.config.variants import SlowStage
from moleflow.data.sample import Sample
from moleflow.extractors.stream_data import StreamData
from moleflow.losses.build import build_loss
from moleflow.models.build import build_model
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import expert_state
from moleflow.run import rotation_of
from moleflow.study.bench import BATCH, Bench
from moleflow.study.layout import CLEAN
from moleflow.study.methods import Detector, Method, Verdict
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.regularizers.build import build_protector


def task_class(class_name: str, severity: str) -> str:
    """What a class of a severity is called in the stream: ``screw``, ``screw@mild``."""
    return class_name if severity == CLEAN else f"{class_name}@{severity}"


class TrainingImages:
    """The training parts of all severities as one dataset, for the trainer; it has no test images.

    Args:
        bench: the images.
    """

    name, root = "study", Path()

    def __init__(self, bench: Bench):
        self._images = {
            task_class(name, severity): split.train
            for severity, splits in bench.splits.items()
            for name, split in splits.items()
        }
        self.classes = tuple(self._images)

    def train(self, class_name: str) -> list[Sample]:
        """Normal training images, as images of the stream's class."""
        return [replace(sample, class_name=class_name) for sample in self._images[class_name]]

    def test(self, class_name: str) -> list[Sample]:
        """None: the study scores images itself."""
        return []


class Trainee:
    """A model that learns tasks of the study.

    Args:
        bench: images, features, settings.
        model: the model; None: a new one.
    """

    def __init__(self, bench: Bench, model: MoLEFlow | None = None):
        resolved, extractor = bench.resolved, bench.store.extractor
        self.bench = bench
        self.model = model or build_model(resolved.ablation, extractor, bench.seed).to(bench.store.device)
        self.seconds: dict[str, float] = {}
        rotation = rotation_of(resolved)
        images = TrainingImages(bench)
        self._data = StreamData(images, bench.store, resolved.run.data, bench.seed, bench.store.device, rotation)

    def copied(self) -> "Trainee":
        """One that learns on its own from here; the backbone is shared."""
        shared = {id(self.model.extractor): self.model.extractor}
        return Trainee(self.bench, copy.deepcopy(self.model, shared))

    def learn(self, task: Task) -> None:
        """Train a task's expert."""
        start = time.perf_counter()
        normal, held_out = self._data.training(task)
        self._trainer().train(task, normal, held_out)
        self.seconds[task.name] = time.perf_counter() - start

    def _trainer(self) -> ContinualTrainer:
        resolved = self.bench.resolved
        slow = resolved.ablation.slow if isinstance(resolved.ablation.slow, SlowStage) else SlowStage()
        protector = build_protector(resolved.ablation, self.bench.seed)
        quiet = lambda *_: None
        return ContinualTrainer(
            self.model, build_loss(resolved.ablation), resolved.run.training, quiet, resolved.run.hardware.amp,
            protector, slow.epochs, slow.lr_ratio,
        )  # fmt: skip

    def expert_bytes(self, task: str) -> int:
        """Size of a task's tensors in the type that an expert is stored in."""
        small = getattr(torch, self.bench.resolved.run.training.expert_dtype).itemsize
        state = expert_state(self.model, task).values()
        return sum(t.numel() * (small if t.dtype == torch.float32 else t.element_size()) for t in state)


@dataclass(frozen=True)
class RoutedDetector(Detector):
    """A model whose router picks the expert; nobody tells it the product.

    Attributes:
        model: the model.
        homes: (class, severity) -> the task that should score its images.
        seconds, bytes, details: as for every detector.
    """

    model: MoLEFlow
    homes: Mapping[tuple[str, str], str]
    seconds: float
    bytes: int
    details: Mapping[str, Any]

    @torch.no_grad()
    def score(self, features: Tensor, class_name: str, severity: str) -> Verdict:
        """Scores on the model's scale; where a task has none (nothing was held out), raw scores."""
        home = self.homes.get((class_name, severity)) or self.homes[class_name, CLEAN]
        names: list[str] = []
        images, own, maps = [], [], []
        for batch in features.to(next(self.model.parameters()).device).split(BATCH):
            routed = self.model.route(batch, given=[home] * len(batch))
            scores = self.model.score(batch, routed)
            away = [place for place, name in enumerate(routed) if name != home]
            given = scores.images.clone()
            if away:
                given[away] = self.model.score_as(batch[away], home).images
            names += routed
            images.append(self._on_scale(scores.images, routed))
            own.append(self._on_scale(given, [home] * len(batch)))
            maps.append(self.model.pixel_map(scores.patches).cpu().numpy())
        at_home = np.array([name == home for name in names])
        return Verdict(np.concatenate(images), np.concatenate(maps), at_home, np.concatenate(own))

    def _on_scale(self, raw: Tensor, tasks: Sequence[str]) -> np.ndarray:
        scale = self.model.calibration
        values = self.model.calibrated(raw, tasks)
        if torch.isnan(values).any():
            return raw.cpu().numpy()
        return (values if scale.higher_is_anomalous else -values).cpu().numpy()


class Stream:
    """What MoLE-Flow learned in the study; the two ways to adapt differ in which experts stay, not in any expert.

    Args:
        bench: images, features, settings.
    """

    def __init__(self, bench: Bench):
        self.bench = bench
        self._adapted: dict[tuple[str, str], Trainee] = {}
        self._of_all: dict[tuple[str, tuple[str, ...]], Trainee] = {}

    @cached_property
    def clean(self) -> Trainee:
        """Has learned every class as it was, one after another."""
        trainee = Trainee(self.bench)
        for index, name in enumerate(self.bench.classes):
            trainee.learn(Task((name,), index))
        return trainee

    def adapted(self, class_name: str, severity: str) -> Trainee:
        """``clean``, and after it a shifted class as one more task."""
        key = class_name, severity
        if key not in self._adapted:
            trainee = self.clean.copied()
            trainee.learn(Task((task_class(class_name, severity),), len(self.bench.classes)))
            self._adapted[key] = trainee
        return self._adapted[key]

    def of_all(self, severity: str, classes: tuple[str, ...]) -> Trainee:
        """A new model whose only task is all classes of a severity."""
        key = severity, classes
        if key not in self._of_all:
            trainee = Trainee(self.bench)
            trainee.learn(Task(tuple(task_class(name, severity) for name in classes), 0))
            self._of_all[key] = trainee
        return self._of_all[key]


@cache
def stream_of(bench: Bench) -> Stream:
    """The one stream of a bench: nothing is learned twice."""
    return Stream(bench)


class MoleFlowMethod(Method):
    """MoLE-Flow: clean classes are the first tasks of a stream, each severity comes after them, alone."""

    @property
    def _stream(self) -> Stream:
        return stream_of(self.bench)

    @property
    def _clean_homes(self) -> dict[tuple[str, str], str]:
        return {(name, CLEAN): name for name in self.bench.classes}

    def fitted(self, severity: str, classes: tuple[str, ...]) -> RoutedDetector:
        """``clean``: the stream's first tasks; a shifted class: what adapts to it; several: a model of their own."""
        if len(classes) > 1:
            trainee = self._stream.of_all(severity, classes)
            (task,) = trainee.model.tasks
            return _detector(trainee, task, {(name, severity): task for name in classes})
        if severity == CLEAN:
            return _detector(self._stream.clean, classes[0], self._clean_homes)
        return self._adapted(classes[0], severity)

    @abstractmethod
    def _adapted(self, class_name: str, severity: str) -> RoutedDetector:
        """The clean model after it has learned a shifted class."""

    def _kept(self, trainee: Trainee, tasks: Sequence[str]) -> bool:
        """Whether clean experts are bit for bit what they were."""
        return all(
            torch.equal(value, expert_state(trainee.model, task)[name])
            for task in tasks
            for name, value in expert_state(self._stream.clean.model, task).items()
        )


class NewTask(MoleFlowMethod):
    """The shifted class is one more task; the router tells old images from shifted ones."""

    def _adapted(self, class_name: str, severity: str) -> RoutedDetector:
        trainee, task = self._stream.adapted(class_name, severity), task_class(class_name, severity)
        homes = {**self._clean_homes, (class_name, severity): task}
        return _detector(trainee, task, homes, old_experts_unchanged=self._kept(trainee, self.bench.classes))


class UpdatedExpert(MoleFlowMethod):
    """The expert that was fitted to shifted images takes the place of the class's old one; the other experts stay."""

    def _adapted(self, class_name: str, severity: str) -> RoutedDetector:
        learned, task = self._stream.adapted(class_name, severity), task_class(class_name, severity)
        trainee = learned.copied()
        trainee.seconds.update(learned.seconds)
        trainee.model.remove_task(class_name)
        others = [name for name in self.bench.classes if name != class_name]
        homes = {**self._clean_homes, (class_name, CLEAN): task, (class_name, severity): task}
        return _detector(trainee, task, homes, old_experts_unchanged=self._kept(trainee, others))


def _detector(trainee: Trainee, task: str, homes: Mapping[tuple[str, str], str], **details: Any) -> RoutedDetector:
    return RoutedDetector(trainee.model, homes, trainee.seconds[task], trainee.expert_bytes(task), details)
