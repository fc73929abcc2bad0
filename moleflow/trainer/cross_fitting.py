"""S6: reference scores of the images that an expert trains on, as if they were new to it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

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

    A memory is a leave-one-out estimator for free: what it keeps of an image is passed over while that one is scored
    (the jackknife of Quenouille 1949; as thresholds, Barber et al. 2021). The flow has seen the image, and the other
    images' patches were chosen to be far from its own, so the mean is off, one way or the other, but not the spread:
    s_i − mean(s) + mean(held-out scores).

    Nothing where no part keeps pieces, where one does not know whose they are, or where images have vanished since.

    Args:
        model: the expert is finished, and its scales are learned.
        task: the task.
        training: features of the images it was trained on, as they were when it was finished.
        held_out: features of normal images that it was not trained on, one at least.
    """
    parts = [part for part in parts_of(model, task.name) if isinstance(part, KeepsPieces)]
    if not parts or not all(part.images for part in parts):
        return
    images = enumerate(image for batch in training() for image in batch.features.split(1))
    found = [_without(model, task, parts, *image) for image in images]
    if any(part.images != len(found) for part in parts):
        return
    patches, scores = map(torch.cat, zip(*found, strict=True))
    known = scores.isfinite()  # an image that all pieces are of has nothing to be compared with
    offset = model.scored(task, held_out).images.mean() - scores[known].mean()
    yield Scores(patches[known] + offset, scores[known] + offset)


def _without(model: MoLEFlow, task: Task, parts: Iterable[KeepsPieces], number: int, features: Tensor) -> Scores:
    with ExitStack() as hidden:
        for part in parts:
            hidden.enter_context(part.without(number))
        return model.score_as(features, task.name)
