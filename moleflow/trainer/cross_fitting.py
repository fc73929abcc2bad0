"""S6: reference scores of images that the final expert trains on, from experts that did not."""

from collections.abc import Callable, Iterable

from moleflow.config.task import Task
from moleflow.extractors.batch import Batches
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.task import base_state
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
