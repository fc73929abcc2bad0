"""Scores of peers on the oracle and on the routed way, and what they are worth."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from moleflow.baselines.base import Peer, PeerScores
from moleflow.config.task import Task
from moleflow.data.images import pixel_truth
from moleflow.data.sample import Sample
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.evaluation.results import ClassResult, Evaluation, Values
from moleflow.evaluation.statistics.counted import Counted
from moleflow.experiments.peer_input import PeerInput
from moleflow.extractors.stream_data import StreamData
from moleflow.models.routing.base import Router


class _Found(NamedTuple):
    """A class's metrics, its images and their routed scores."""

    result: ClassResult
    samples: Sequence[Sample]
    routed: PeerScores

    @property
    def labels(self) -> np.ndarray:
        """0 for good, 1 for defect, (n,)."""
        return np.array([sample.label for sample in self.samples])


class PeerEvaluator:
    """Evaluates a model a task, with a router in front.

    Args:
        data: test images.
        inputs: what peers are shown of them.
        router: names the task of each image.
        model_of: a task's model, fitted.
    """

    def __init__(self, data: StreamData, inputs: PeerInput, router: Router, model_of: Callable[[Task], Peer]):
        self.data, self.inputs, self.router, self.model_of = data, inputs, router, model_of
        self._own: dict[str, PeerScores] = {}
        self._metrics: dict[tuple[str, bytes], Values] = {}
        self._last: list[_Found] = []

    def evaluate(self, seen: Sequence[Task]) -> Evaluation:
        """One row of the task matrix: every class of the tasks seen so far."""
        self._last = found = [self._class(name, task, seen) for task in seen for name in task.classes]
        labels, scores = (
            np.concatenate(part) for part in zip(*((f.labels, f.routed.images) for f in found), strict=True)
        )
        return Evaluation(
            seen[-1].index, tuple(one.result for one in found), image_metrics(labels, scores)["image_auroc"]
        )

    def counted(self) -> dict[str, Counted]:
        """Class -> its test images on the routed way of the last evaluation, as statistics need them."""
        return {
            one.result.class_name: Counted.of_samples(
                one.samples, self._truths(one.samples, one.routed.maps), one.routed.images, one.routed.maps
            )
            for one in self._last
        }

    def _class(self, name: str, task: Task, seen: Sequence[Task]) -> _Found:
        test = self.data.test(name, task)
        names = [found for batch in test.batches() for found in self.router(batch.features)]
        own = self._own_scores(name, task)
        routed = self._routed(own, test.samples, [one for one in seen if one.name != task.name], names)
        labels = np.array([sample.label for sample in test.samples])
        oracle, sent = (self._measured(test.samples, labels, scores) for scores in (own, routed))
        accuracy = float(np.mean([found == task.name for found in names]))
        return _Found(ClassResult(name, task.index, oracle, sent, accuracy), test.samples, routed)

    def _own_scores(self, name: str, task: Task) -> PeerScores:
        """A class's test images under their own task's model; what is learned later does not change them."""
        if name not in self._own:
            self._own[name] = self._scores(self.model_of(task), self.data.test(name, task).samples)
        return self._own[name]

    def _scores(self, peer: Peer, samples: Sequence[Sample]) -> PeerScores:
        parts = [peer.score(batch) for batch in self.inputs.batches(peer, samples)]
        images, maps = (np.concatenate(column) for column in zip(*parts, strict=True))
        return PeerScores(images, maps.astype(np.float32))

    def _routed(
        self, own: PeerScores, samples: Sequence[Sample], others: Sequence[Task], names: Sequence[str]
    ) -> PeerScores:
        """An image's own scores where the router is right, else those of the model it is sent to."""
        images, maps = own.images.copy(), own.maps
        for other in (task for task in others if task.name in names):
            rows = [row for row, name in enumerate(names) if name == other.name]
            sent = self._scores(self.model_of(other), [samples[row] for row in rows])
            images[rows] = sent.images
            maps = maps.copy()
            maps[rows] = sent.maps
        return PeerScores(images, maps)

    def _measured(self, samples: Sequence[Sample], labels: np.ndarray, scores: PeerScores) -> Values:
        """All metrics of a class, computed once for the same scores."""
        key = (samples[0].class_name, scores.images.tobytes())
        if key not in self._metrics:
            self._metrics[key] = {**image_metrics(labels, scores.images), **self._pixel_metrics(samples, scores.maps)}
        return self._metrics[key]

    def _pixel_metrics(self, samples: Sequence[Sample], maps: np.ndarray) -> Values:
        known = self._truths(samples, maps)
        if not any(truth.any() for truth in known.values()):
            return pixel_metrics(np.zeros_like(maps[:0], bool), maps[:0])
        return pixel_metrics(np.stack(list(known.values())), maps[list(known)])

    def _truths(self, samples: Sequence[Sample], maps: np.ndarray) -> dict[int, np.ndarray]:
        """Place among the samples -> defect pixels (h, h), where they are known."""
        size, resize = maps.shape[-1], self.inputs.store.resize
        truths = {row: pixel_truth(sample, size, resize) for row, sample in enumerate(samples)}
        return {row: truth for row, truth in truths.items() if truth is not None}
