"""A peer on a stream: a model of its own for each task, and MoLE-Flow's router in front of them.

Whatever the peer is, it forgets nothing on the oracle route by construction: later tasks touch no earlier model. What
it loses, it loses where the router errs.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.base import Peer
from moleflow.baselines.registry import options_of
from moleflow.baselines.trained import TrainedPeer
from moleflow.config.task import Task
from moleflow.config.variants import Cnn
from moleflow.data.datasets import facts_of
from moleflow.data.tasks import make_stream
from moleflow.evaluation.results import Evaluation, build_results, read_evaluation
from moleflow.evaluation.run_record import run_record
from moleflow.evaluation.statistics.counted import counts_file
from moleflow.experiments.conditions import Experiment
from moleflow.experiments.peer_evaluator import PeerEvaluator
from moleflow.experiments.peer_input import PeerInput
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.stream_data import StreamData
from moleflow.models.build import build_extractor
from moleflow.models.routing.mahalanobis import TiedMahalanobis
from moleflow.run import open_data
from moleflow.trainer.checkpoint import file_name
from moleflow.utils.env import choose_device, describe_environment
from moleflow.utils.io import read_json, write_json

TIMED = 8
"""Images that latency is measured on."""


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
        self.inputs = PeerInput(self.store)
        self.evaluator = PeerEvaluator(self.data, self.inputs, self.router, self._fitted)

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
                evaluation = self.evaluator.evaluate(self.tasks[: task.index + 1])
                if task is self.tasks[-1]:
                    self._keep_counts()
                self._record(evaluation)
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
        batches, apart = (list(self.inputs.batches(peer, part.samples)) for part in (normal, held_out))
        start, cpu = time.perf_counter(), time.process_time()
        peer.fit(batches, apart)
        self._note(task, seconds=time.perf_counter() - start, cpu_seconds=time.process_time() - cpu, bytes=peer.bytes)
        if isinstance(peer, TrainedPeer) and peer.course is not None:
            how = {"steps": peer.course.steps, "ended": peer.course.ended}
            self.cost.setdefault("training", {})[task.name] = how
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

    def _record(self, evaluation: Evaluation) -> None:
        """Write the results so far, then the row of the task matrix: what is there is not taken again."""
        earlier = [read_evaluation(file) for task in self.tasks if (file := self._evaluation_file(task)).exists()]
        record = {**run_record(self.experiment.resolved, self.tasks), "model": self.experiment.model}
        classes = [list(task.classes) for task in self.tasks]
        results = build_results(self.experiment.name, classes, [*earlier, evaluation], record)
        write_json(self.folder / "results.json", results)
        write_json(self._evaluation_file(self.tasks[evaluation.after_task]), evaluation.to_dict())

    def _keep_counts(self) -> None:
        for name, counted in self.evaluator.counted().items():
            counted.save(counts_file(self.folder, name))

    def _latency(self, peer: Peer) -> float:
        """Milliseconds of CPU time to score one decoded image, the backbone included where the peer needs it: the
        median over a few images, one at a time."""
        task = self.tasks[-1]
        samples = self.data.test(task.classes[0], task).samples[:TIMED]
        images = [self.inputs.pixels([sample]) for sample in samples]
        return milliseconds(lambda image: self.inputs.score_pixels(peer, image), images)

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
