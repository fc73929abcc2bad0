"""A peer on a stream: a model of its own for each task, and MoLE-Flow's router in front of them.

Whatever the peer is, it forgets nothing on the oracle route by construction: later tasks touch no earlier model. What
it loses, it loses where the router errs.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.base import FEATURES, Peer
from moleflow.baselines.registry import options_of
from moleflow.config.task import Task
from moleflow.config.variants import Cnn
from moleflow.data.datasets import facts_of
from moleflow.data.images import load_image, pixel_truth
from moleflow.data.sample import Sample
from moleflow.data.tasks import make_stream
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.results import ClassResult, Evaluation, Values, build_results, read_evaluation
from moleflow.evaluation.run_record import run_record
from moleflow.experiments.conditions import Experiment
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.stream_data import StreamData
from moleflow.models.build import build_extractor
from moleflow.models.routing.mahalanobis import TiedMahalanobis
from moleflow.run import open_data
from moleflow.trainer.checkpoint import file_name
from moleflow.utils.env import choose_device, describe_environment
from moleflow.utils.io import read_json, write_json

BATCH = 16
"""Images that are handed over together."""
TIMED = 8
"""Images that latency is measured on."""


@dataclass
class _Scored:
    """Scores of a class's test images under one task's model."""

    images: np.ndarray
    maps: np.ndarray


class PeerStream:
    """One experiment with a peer, in a folder where it goes on when it was stopped.

    Args:
        experiment: what to do.
        folder: of what is found.
        cache: folder of features.
    """

    def __init__(self, experiment: Experiment, folder: Path, cache: Path):
        run = experiment.resolved.run
        self.experiment, self.folder = experiment, folder
        self.device = choose_device("cpu")
        dataset = open_data(run)
        chosen = list(run.stream.task_classes) or None
        facts = facts_of(run.data.dataset)
        self.tasks = make_stream(dataset.classes, chosen, run.stream.cl_scenario, run.stream.task_order, facts)
        self.extractor = build_extractor(experiment.resolved.ablation, run)
        self.store = FeatureStore(self.extractor, run.data.resize, cache, device=self.device)
        self.data = StreamData(dataset, self.store, run.data, run.training.seed, self.device)
        self.router = TiedMahalanobis(self.extractor.dim)
        self.cost = self._stored_cost()
        self._scored: dict[str, _Scored] = {}
        self._metrics: dict[tuple[str, bytes], Values] = {}

    def run(self) -> dict[str, Any]:
        """Do what is not done yet.

        Returns:
            The content of results.json.
        """
        self.data.check(self.tasks)
        write_json(self.folder / "env.json", describe_environment(self.device))
        for task in self.tasks:
            self._meet(task)
            if not self._evaluation_file(task).exists():
                self._fitted(task)
                self._evaluate(self.tasks[: task.index + 1])
        if "ms_per_image" not in self.cost:
            self.cost["ms_per_image"] = self._latency(self._fitted(self.tasks[-1]))
            write_json(self.folder / "cost.json", self.cost)
        shutil.rmtree(self._state_file(self.tasks[0]).parent, ignore_errors=True)
        return dict(read_json(self.folder / "results.json"))

    def _meet(self, task: Task) -> None:
        """Let the router know the task."""
        features, _ = self.data.training(task)
        self.router.statistics.begin(task)
        self.router.end_task(task, features.batches)
        self.router.know([*self.router.tasks, task.name])

    def _fitted(self, task: Task) -> Peer:
        """The task's model: as it is stored, or fitted now."""
        file, peer = self._state_file(task), self._new()
        if file.exists():
            peer.load(file)
            return peer
        normal, held_out = self.data.training(task)
        batches, apart = (list(self._shown(peer, part.samples)) for part in (normal, held_out))
        start, cpu = time.perf_counter(), time.process_time()
        peer.fit(batches, apart)
        self._note(task, seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu, bytes=peer.bytes)
        course = getattr(peer, "course", None)
        if course is not None:
            self.cost.setdefault("training", {})[task.name] = {"steps": course.steps, "ended": course.ended}
        peer.save(file)
        write_json(self.folder / "cost.json", self.cost)
        return peer

    def _new(self) -> Peer:
        run, options = self.experiment.resolved.run, dict(self.experiment.options)
        takes, features = options_of(self.experiment.model), run.features
        given = {
            "img_size": run.data.img_size, "seed": run.training.seed, "backbone": features.backbone_name,
            "backbone_weights": features.backbone_weights, "random_backbone": features.random_backbone,
        }  # fmt: skip
        if isinstance(self.experiment.resolved.ablation.extractor, Cnn):
            given["layers"] = self.experiment.resolved.ablation.extractor.layers
        own = {option: value for option, value in given.items() if option in takes}
        return get_model(self.experiment.model, **{**own, **options})

    def _shown(self, peer: Peer, samples: Sequence[Sample], batch: int = BATCH) -> Iterator[Tensor]:
        """What the peer sees of images, in batches."""
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            yield self.store.features(part) if peer.sees == FEATURES else self._pixels(part)

    def _pixels(self, samples: Sequence[Sample]) -> Tensor:
        run = self.experiment.resolved.run
        images = [load_image(sample.path, run.data.img_size, run.data.resize) for sample in samples]
        return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255

    def _own(self, name: str, task: Task) -> _Scored:
        """A class's test images under their own task's model, scored once."""
        if name not in self._scored:
            self._scored[name] = self._score(self._fitted(task), self.data.test(name, task).samples)
        return self._scored[name]

    def _score(self, peer: Peer, samples: Sequence[Sample]) -> _Scored:
        parts = [peer.score(batch) for batch in self._shown(peer, samples)]
        maps = np.concatenate([part.maps for part in parts]).astype(np.float32)
        return _Scored(np.concatenate([part.images for part in parts]), maps)

    def _evaluate(self, seen: Sequence[Task]) -> None:
        """One row of the task matrix, and the results so far."""
        pairs = [self._class_result(name, task, seen) for task in seen for name in task.classes]
        labels = np.concatenate([pair[1] for pair in pairs])
        pooled = image_metrics(labels, np.concatenate([pair[2] for pair in pairs]))["image_auroc"]
        evaluation = Evaluation(seen[-1].index, tuple(pair[0] for pair in pairs), pooled)
        earlier = [read_evaluation(file) for file in map(self._evaluation_file, seen[:-1]) if file.exists()]
        record = {**run_record(self.experiment.resolved, self.tasks), "model": self.experiment.model}
        classes = [list(task.classes) for task in self.tasks]
        results = build_results(self.experiment.name, classes, [*earlier, evaluation], record)
        write_json(self.folder / "results.json", results)
        write_json(self._evaluation_file(seen[-1]), evaluation.to_dict())

    def _class_result(self, name: str, task: Task, seen: Sequence[Task]) -> tuple[ClassResult, np.ndarray, np.ndarray]:
        """Metrics of a class, its labels, and its routed image scores."""
        test, own = self.data.test(name, task), self._own(name, task)
        names = [found for batch in test.batches() for found in self.router(batch.features)]
        routed = self._routed(test.samples, task, seen, names)
        labels = np.array([sample.label for sample in test.samples])
        result = ClassResult(
            name,
            task.index,
            self._measured(test.samples, labels, own),
            self._measured(test.samples, labels, routed),
            float(np.mean([found == task.name for found in names])),
        )
        return result, labels, routed.images

    def _routed(self, samples: Sequence[Sample], task: Task, seen: Sequence[Task], names: Sequence[str]) -> _Scored:
        """Scores on the routed way: an image's own where the router is right."""
        own = self._own(samples[0].class_name, task)
        images, maps = own.images.copy(), own.maps
        for other in (one for one in seen if one.name != task.name and one.name in names):
            rows = [row for row, found in enumerate(names) if found == other.name]
            sent = self._score(self._fitted(other), [samples[row] for row in rows])
            images[rows] = sent.images
            maps = maps.copy() if maps is own.maps else maps
            maps[rows] = sent.maps
        return _Scored(images, maps)

    def _measured(self, samples: Sequence[Sample], labels: np.ndarray, scored: _Scored) -> Values:
        """All metrics, computed once for the same scores."""
        key = (samples[0].class_name, scored.images.tobytes())
        if key not in self._metrics:
            self._metrics[key] = {**image_metrics(labels, scored.images), **self._pixel_metrics(samples, scored.maps)}
        return self._metrics[key]

    def _pixel_metrics(self, samples: Sequence[Sample], maps: np.ndarray) -> Values:
        data = self.experiment.resolved.run.data
        truths = {row: pixel_truth(sample, data.img_size, data.resize) for row, sample in enumerate(samples)}
        known = {row: truth for row, truth in truths.items() if truth is not None}
        if not any(truth.any() for truth in known.values()):
            return pixel_metrics(np.zeros_like(maps[:0], bool), maps[:0])
        return pixel_metrics(np.stack(list(known.values())), maps[list(known)])

    def _latency(self, peer: Peer) -> float:
        """Milliseconds of CPU time to score one decoded image, the backbone included where the peer needs it: the
        median over a few images, one at a time."""
        task = self.tasks[-1]
        samples = self.data.test(task.classes[0], task).samples[:TIMED]
        return milliseconds(lambda image: self._look(peer, image), [self._pixels([sample]) for sample in samples])

    def _look(self, peer: Peer, image: Tensor) -> None:
        with torch.no_grad():
            peer.score(self.extractor(image) if peer.sees == FEATURES else image)

    def _evaluation_file(self, task: Task) -> Path:
        return self.folder / "evaluations" / f"after_{task.index:03d}.json"

    def _state_file(self, task: Task) -> Path:
        return self.folder / "models" / file_name(task)

    def _stored_cost(self) -> dict[str, Any]:
        file = self.folder / "cost.json"
        return dict(read_json(file)) if file.exists() else {}

    def _note(self, task: Task, **facts: float) -> None:
        for name, value in facts.items():
            key = {"bytes": "bytes_per_expert"}.get(name, f"{name}_per_task")
            self.cost.setdefault(key, {})[task.name] = round(value, 3)


def milliseconds(work: Callable[[Tensor], None], items: Sequence[Tensor]) -> float:
    """Median CPU time of ``work`` on an item, in milliseconds; the first item is done once more, before."""
    work(items[0])
    taken = []
    for item in items:
        start = time.process_time()
        work(item)
        taken.append(1000 * (time.process_time() - start))
    return float(np.median(taken))
