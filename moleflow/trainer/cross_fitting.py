"""S6: reference scores of the images that an expert trains on, as if they were new to it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import count

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.task import KeepsPieces, base_state, parts_of
from moleflow.trainer.checkpoint import fill_base

Fold = tuple[TaskFeatures, TaskFeatures]
"""Normal images of a task in two parts: the rest, and those left out."""


def cross_fitted(
    model: MoLEFlow, task: Task, held_out: Batches, folds: Iterable[Fold], fit: Callable[[TaskFeatures], None]
) -> list[Scores]:
    """Scores of each left-out part by an expert that is fitted to the rest (K-fold cross-fitting).

    K experts of K − 1 parts stand for the one of all parts, whose scores of new normal images are a little lower: a
    threshold from them is a little high, and keeps its promise up to twice the rate in the worst case (CV+, Barber et
    al. 2021). Where the task trains shared weights, each of these experts trains its own from the same start. They all
    are thrown away, and shared weights are put back bit by bit: what is trained next does not know of it.

    Args:
        model: shared weights as they are before the task.
        task: the task; each fit begins it anew.
        held_out: features of normal images in neither part, which scales are learned from.
        folds: the parts.
        fit: begins the task, fits its expert to features, and finishes it.
    """
    before = {name: value.clone() for name, value in base_state(model).items()}
    scores = []
    for rest, left_out in folds:
        fit(rest)
        model.learn_scales(task, held_out)
        scores.append(model.scored(task, left_out.batches))
        fill_base(model, before, "memory")
    return scores


def without_themselves(model: MoLEFlow, task: Task, training: Batches, held_out: Batches) -> Iterator[Scores]:
    """Scores of each training image by its own expert without the pieces of it, moved to the held-out images' mean.

    A memory is a leave-one-out estimator for free: it does without what it keeps of an image while that one is scored
    (the jackknife of Quenouille 1949; as thresholds, Barber et al. 2021). The flow has seen the image, and the other
    images' patches were chosen to be far from its own, so the mean is off, one way or the other; how much images
    differ is told well. Each class is moved by itself: s_i − mean(s) + mean(held-out scores).

    Nothing where no part keeps pieces, where one does not know whose they are, or where images have vanished since.

    Args:
        model: the expert is finished, and its scales are learned.
        task: the task.
        training: features of the images it was trained on, as they were when it was finished.
        held_out: features of normal images of every class that it was not trained on.
    """
    parts = pieces_of(model, task)
    if not parts or not all(part.images for part in parts):
        return
    numbers = count()
    left_out, classes = _joined(training, lambda image: scored_without(model, task, next(numbers), image), 1)
    if any(part.images != len(classes) for part in parts):
        return
    new, new_classes = _joined(held_out, lambda images: model.score_as(images, task.name), None)
    aggregation = partial(model.aggregation, task=task.name)
    for number in new_classes.unique():
        known = _some(left_out, classes == number)
        if len(known.images):
            yield _moved(known, _some(new, new_classes == number), aggregation)


def pieces_of(model: MoLEFlow, task: Task) -> list[KeepsPieces]:
    """The parts that keep pieces of the task's training images."""
    return [part for part in parts_of(model, task.name) if isinstance(part, KeepsPieces)]


def scored_without(model: MoLEFlow, task: Task, number: int, features: Tensor) -> Scores:
    """Scores of features by the task's expert without the pieces that it keeps of the training image of that number."""
    with ExitStack() as hidden:
        for part in pieces_of(model, task):
            hidden.enter_context(part.without(number))
        return model.score_as(features, task.name)


def _joined(batches: Batches, scored: Callable[[Tensor], Scores], at_once: int | None) -> tuple[Scores, Tensor]:
    """Scores and classes of all images in one pass, so many at once or a batch."""
    found, classes = [], []
    for batch in batches():
        found += [scored(part) for part in batch.features.split(at_once or len(batch.features))]
        classes.append(batch.classes)
    return Scores(*map(torch.cat, zip(*found, strict=True))), torch.cat(classes)


def _some(scores: Scores, rows: Tensor) -> Scores:
    """Those of the rows, (n,) bool, that have a score: an image that all pieces are of has nothing to compare with."""
    rows = rows & scores.images.isfinite()
    return Scores(scores.patches[rows], scores.images[rows])


def _moved(scores: Scores, to: Scores, aggregation: Callable[[Tensor], Tensor]) -> Scores:
    """Scores with the mean of others, the map's by what images would score by their maps."""
    off = [aggregation(patches).mean() for patches in (to.patches, scores.patches)]
    return Scores(scores.patches + (off[0] - off[1]), scores.images + (to.images.mean() - scores.images.mean()))
