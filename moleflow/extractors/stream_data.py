"""The images of a stream as features: what a task trains on, holds out, and is tested on."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from moleflow.config.run import DataConfig
from moleflow.config.task import Task
from moleflow.data.datasets import ImageDataset, Sample
from moleflow.data.doubts import doubts
from moleflow.data.images import SKIP, BadImage, check_samples
from moleflow.data.rotation import Rotation
from moleflow.data.skipped import SkippedImages
from moleflow.data.tasks import drawn, left_out_parts, split_validation
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.task_features import FreshViews, TaskFeatures
from moleflow.utils.errors import UsageError


class StreamData:
    """Features of a dataset's classes, computed when first asked for.

    Args:
        dataset: the images.
        store: the features.
        config: what to hold out, and what to do with images that cannot be read.
        seed: seed of the held-out split.
        device: where features are wanted.
        rotation: how training images are rotated; None leaves them as they are.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        store: FeatureStore,
        config: DataConfig,
        seed: int,
        device: torch.device,
        rotation: Rotation | None = None,
    ):
        self.dataset = dataset
        self.store = store
        self.config = config
        self.seed = seed
        self.device = device
        self.rotation = rotation
        self.skipped = SkippedImages()
        self._tests: dict[str, TaskFeatures] = {}

    def check(self, stream: Sequence[Task]) -> None:
        """Look at the layout, the headers and the masks of every class, before anything is trained.

        Raises:
            UsageError: a class, its normal images or a mask is missing, or an image cannot be opened.
        """
        for name in (name for task in stream for name in task.classes):
            self._readable(self.dataset.train(name), "train")
            self._readable(self.dataset.test(name), "test")

    def doubts(self, stream: Sequence[Task]) -> list[str]:
        """What makes the numbers of a run on this stream doubtful, a sentence each."""
        names = [name for task in stream for name in task.classes]
        train = [sample for name in names for sample in self.dataset.train(name)]
        test = [sample for name in names for sample in self.dataset.test(name)]
        return list(doubts(train, test, self.dataset.root))

    def training(self, task: Task) -> tuple[TaskFeatures, TaskFeatures]:
        """Features of the task's normal images: those it trains on, and those held out.

        Rotation acts on the former alone, and on all that learns from them: the flow, the router's statistics and
        whatever else looks at a task's batches. Fixed views count as images of their own, so an epoch shows each of
        them once. Which images are held out does not depend on it.

        Raises:
            UsageError: no image of a class can be read.
        """
        normal, held_out = self._split(task)
        return self._shown(normal, task), self._features(held_out, task, "train")

    def folds(self, task: Task, count: int) -> Iterator[tuple[TaskFeatures, TaskFeatures]]:
        """The images that ``training`` trains on in two parts, ``count`` times: those shown, and those left out."""
        normal, _ = self._split(task)
        for rest, left_out in left_out_parts(normal, count, self.seed, task.name):
            yield self._shown(rest, task), self._features(left_out, task, "train")

    def test(self, class_name: str, task: Task) -> TaskFeatures:
        """Features of a class's test images, which are looked for and checked once."""
        if class_name not in self._tests:
            readable = self._readable(self.dataset.test(class_name), "test")
            samples = self._prepared(readable, "test", f"test features {class_name}")
            self._tests[class_name] = self._features(samples, task, "test")
        return self._tests[class_name]

    def _split(self, task: Task) -> tuple[list[Sample], list[Sample]]:
        """The task's normal images: those it trains on, and those held out."""
        samples: list[Sample] = []
        for name in sorted(task.classes):
            readable = self._readable(self.dataset.train(name), "train")
            chosen = drawn(readable, self.config.max_train_images, self.seed, name)
            mine = self._prepared(chosen, "train", f"features {name}")
            if not mine:
                raise UsageError(f"No training image of class {name!r} can be read; repair its train/good folder.")
            samples += mine
        return split_validation(samples, self.config.val_fraction, self.seed, task.name)

    def _shown(self, normal: list[Sample], task: Task) -> TaskFeatures:
        if self.rotation is None:
            return self._features(normal, task, "train")
        views = self.rotation.fixed(normal)
        if self.rotation.views == 0:
            lost = partial(self._lost, views, "train")
            return FreshViews(self.store, views, task.classes, self.device, self.rotation, lost)
        return self._features(self._prepared(views, "train", f"rotated views {task.name}"), task, "train")

    def _features(self, samples: list[Sample], task: Task, split: str) -> TaskFeatures:
        lost = partial(self._lost, samples, split)
        return TaskFeatures(self.store, samples, task.classes, self.device, lost=lost)

    def _lost(self, samples: list[Sample], split: str, bad: BadImage, left: int) -> None:
        """Leave out an image that could be read before.

        Raises:
            BadImage: no image may be left out.
            UsageError: it was the last one to train on.
        """
        if self.config.on_bad_image == "error":
            raise BadImage(bad.path, f"{bad.reason}; {SKIP}")
        self.skipped.note(samples, [bad], split)
        if split == "train" and not left:
            raise UsageError(f"{bad}; it was the last of its training images: bring them back, then --resume.")

    def reject(self, sample: Sample, reason: str) -> None:
        """Leave out a test image that turned out to be unusable after it was decoded.

        Raises:
            BadImage: no image may be left out.
        """
        bad = BadImage(sample.path, reason)
        if self.config.on_bad_image == "error":
            raise BadImage(sample.path, f"{reason}; {SKIP}")
        self.skipped.note([sample], [bad], "test")

    def _readable(self, samples: Sequence[Sample], split: str) -> list[Sample]:
        good, bad = check_samples(samples, self.config.on_bad_image)
        self.skipped.note(samples, bad, split)
        return good

    def _prepared(self, samples: Sequence[Sample], split: str, title: str) -> list[Sample]:
        good, bad = self.store.prepare(samples, self.config.on_bad_image, title)
        self.skipped.forgive(good)
        self.skipped.note(samples, bad, split)
        return good
