"""Judging a finished run on training images alone: each as a new one, and damaged on purpose."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moleflow.config.task import Task
from moleflow.data.sample import Sample
from moleflow.data.synthetic.inner import read_damaged
from moleflow.evaluation.evaluator import ClassScores
from moleflow.evaluation.results import METRICS, ClassResult, Evaluation, build_results
from moleflow.extractors.batch import Batches
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.task import LearnsWithoutGradients, expert_state, parts_of
from moleflow.registry.stored_run import StoredRun
from moleflow.run import Runner
from moleflow.trainer.cross_fitting import pieces_of, scored_without
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.progress import progress


@torch.no_grad()
def judged_inside(stored: StoredRun, damaged: Path) -> dict[str, Any]:
    """The content of a results.json in which training images stand for test images.

    Every image that an expert was trained on is scored by it without what its memories keep of that image, as a normal
    image; and so are its damaged versions, as defective ones. Nothing has to be held out and no test image is scored.
    It costs the choice of the memories, and one image at a time. What the flow learned of an image stays.

    Args:
        stored: a finished run whose experts keep pieces of images (V3).
        damaged: what ``make_inner_validation.py --held_out 0`` has made of the run's training images.

    Raises:
        UsageError: the run keeps no pieces, or the damaged images are of others.
        MoleflowError: a memory that is chosen again is not the stored one.
    """
    stored.require_finished()
    with stored.runner(stored.tasks, stored.places) as runner:
        runner.folder.load_base(runner.model)
        results = [result for task in runner.stream for result in _of_task(stored, runner, task, damaged)]
        rows = [Evaluation(runner.stream[-1].index, tuple(results), None)]
        return build_results(stored.path.name, [list(task.classes) for task in runner.stream], rows, runner.record)


def _of_task(stored: StoredRun, runner: Runner, task: Task, damaged: Path) -> Iterator[ClassResult]:
    stored.load(runner.model, task.name)
    if not pieces_of(runner.model, task):
        raise UsageError(
            f"The run in {stored.path} keeps no pieces of images (--use_patch_memory), so it cannot score one that it "
            "was trained on as new: judge its setting on images that are held out (make_inner_validation.py)."
        )
    normal, _ = runner.data.training(task)
    choose_again(runner.model, task, normal.batches)
    for name in task.classes:
        scores = _scores(runner, task, normal, name, damaged)
        nothing = dict.fromkeys(METRICS)
        values = runner.evaluator.metrics(scores, scores.oracle_patches, scores.oracle, scores.routed_tasks)
        yield ClassResult(name, task.index, {**nothing, **values}, {**nothing, **values}, None)


def choose_again(model: MoLEFlow, task: Task, normal: Batches) -> None:
    """Let the views learn again from what they learned from, so that they know whose pieces they keep.

    Raises:
        MoleflowError: they are not as before.
    """
    before = {name: value.clone() for name, value in expert_state(model.fusion, task.name).items()}
    for part in parts_of(model.fusion, task.name):
        if isinstance(part, LearnsWithoutGradients):
            part.end_task(task, normal)
    for name, value in expert_state(model.fusion, task.name).items():
        if not torch.equal(value, before[name]):
            raise MoleflowError(
                f"What the expert of {task.name!r} keeps, chosen again, differs from what it keeps ({name}): images "
                "have changed, or another processor or number of threads chose; run this where the run was trained."
            )


def _scores(runner: Runner, task: Task, normal: TaskFeatures, name: str, damaged: Path) -> ClassScores:
    """Scores of the class's training images and of their damaged versions, each without its own pieces."""
    root = runner.data.dataset.root
    numbers = {sample.path.relative_to(root).as_posix(): number for number, sample in enumerate(normal.samples)}
    mine = [(sample, number) for number, sample in enumerate(normal.samples) if sample.class_name == name]
    made = [
        (one.sample, numbers[one.source])
        for one in read_damaged(damaged, runner.data.dataset, name)
        if one.source in numbers  # those the run held out are left out: its expert is new to them
    ]
    scored = [_scored(runner, task, *pair) for pair in progress([*mine, *made], len(mine) + len(made), name, "image")]
    patches, images = (torch.cat(parts).cpu() for parts in zip(*scored, strict=True))
    samples, tasks = [sample for sample, _ in (*mine, *made)], [task.name] * len(scored)
    known = np.zeros(len(scored), dtype=bool)
    return ClassScores(samples, task.name, tasks, patches, patches, images.numpy(), images.numpy(), known)


def _scored(runner: Runner, task: Task, sample: Sample, number: int) -> Scores:
    return scored_without(runner.model, task, number, runner.data.store.features([sample]).to(runner.device))
