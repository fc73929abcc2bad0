"""Judging a finished run on training images alone: each as a new one, and damaged on purpose."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from moleflow.config.task import Task
from moleflow.config.variants import PatchMemory, PlaceGaussian, RandomRotation
from moleflow.data.sample import Sample
from moleflow.data.synthetic.inner import MANIFEST, read_damaged
from moleflow.evaluation.evaluator import ClassScores
from moleflow.evaluation.kept import KeptScores, kept_scores
from moleflow.evaluation.results import INSIDE, SOURCES, ClassResult, Evaluation, build_results
from moleflow.extractors.batch import Batches
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.task import LearnsWithoutGradients, expert_state, parts_of
from moleflow.registry.images import home_of
from moleflow.registry.stored_run import StoredRun
from moleflow.run import Runner
from moleflow.trainer.cross_fitting import scored_without
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import sha256_of
from moleflow.utils.progress import progress

FEWEST = 3
"""Normal images of a class, and damaged ones, below which nothing is told."""


class Judged(NamedTuple):
    """What a run is worth on its training images.

    Attributes:
        results: the content of a results.json in which training images stand for test images.
        scores: class -> what was said of each of them.
    """

    results: dict[str, Any]
    scores: dict[str, KeptScores]


@torch.no_grad()
def judged_inside(stored: StoredRun, damaged: Path) -> Judged:
    """Judge a run with training images in the place of test images.

    Every image that an expert was trained on is scored by it without what its memories keep of that image, as a normal
    image; and so are its damaged versions, as defective ones. Nothing has to be held out and no test image is scored.
    It costs the choice of the memories, and one image at a time. What the flow learned of an image stays. Nothing is
    routed: both routes hold the same.

    Args:
        stored: a finished run whose experts keep pieces of images (V3).
        damaged: what ``make_inner_validation.py --held_out 0`` has made of the run's training images.

    Raises:
        UsageError: the run keeps no pieces, or what cannot do without an image, or the damaged images are of others.
        MoleflowError: a memory that is chosen again is not the stored one.
    """
    stored.require_finished()
    _refuse_what_stays(stored)
    mark = identity(stored, damaged)
    with stored.runner(stored.tasks, stored.places) as runner:
        runner.folder.load_base(runner.model)
        found = [one for task in runner.stream for one in _of_task(stored, runner, task, damaged)]
        rows = [Evaluation(runner.stream[-1].index, tuple(one.result for one in found), None)]
        classes = [list(task.classes) for task in runner.stream]
        told = {**mark, SOURCES: {name: source for one in found for name, source in one.sources.items()}}
        results = {**build_results(stored.path.name, classes, rows, runner.record), INSIDE: told}
        return Judged(results, {one.result.class_name: one.scores for one in found})


def is_of(results: Mapping[str, Any], identity: Mapping[str, str]) -> bool:
    """Whether results are a judgement of this identity."""
    mark = results.get(INSIDE, {})
    return all(mark.get(name) == found for name, found in identity.items())


def identity(stored: StoredRun, damaged: Path) -> dict[str, str]:
    """What tells a judgement from another: hashes of the run's list of experts and of the list of damaged images.

    Raises:
        UsageError: there is no such list.
    """
    lists = {"run": stored.path / "stream.json", "inner": damaged / MANIFEST}
    for name, file in lists.items():
        if not file.is_file():
            raise UsageError(f"There is no {file.name} in {file.parent}: give the folder of a finished {name}.")
    return {name: sha256_of(file) for name, file in lists.items()}


def _refuse_what_stays(stored: StoredRun) -> None:
    """Refuse runs that cannot score an image as if it were new."""
    ablation = stored.resolved.ablation
    if not isinstance(ablation.patch_memory, PatchMemory):
        reason = "keeps no pieces of images (--use_patch_memory)"
    elif isinstance(ablation.place_gaussian, PlaceGaussian):
        reason = "has learned Gaussians of every image (--use_place_gaussian)"
    elif isinstance(ablation.image, RandomRotation):
        reason = "keeps images under several angles (--use_rotation_aug)"
    else:
        return
    raise UsageError(
        f"The run in {stored.path} {reason}, so it cannot score one that it was trained on as a new one: judge its "
        "setting on images that are held out (make_inner_validation.py)."
    )


class OfClass(NamedTuple):
    """What is found of a class.

    Attributes:
        result: its metrics.
        scores: of each image.
        sources: name of a damaged image -> that of the training image it was.
    """

    result: ClassResult
    scores: KeptScores
    sources: dict[str, str]


class Pair(NamedTuple):
    """An image to score.

    Attributes:
        sample: it, normal or damaged.
        number: of the training image that it is or was.
    """

    sample: Sample
    number: int


def _of_task(stored: StoredRun, runner: Runner, task: Task, damaged: Path) -> Iterator[OfClass]:
    stored.load(runner.model, task.name)
    normal, _ = runner.data.training(task)
    choose_again(runner.model, task, normal.batches)
    for name in task.classes:
        pairs = _pairs(runner, normal, name, damaged)
        scores = _scores(runner, task, name, pairs)
        values = runner.evaluator.metrics(scores, scores.oracle_patches, scores.oracle, scores.routed_tasks)
        names = _names(scores.samples, home_of(runner.data.dataset, name).root, damaged)
        kept = kept_scores(runner.evaluator, scores, names)
        yield OfClass(ClassResult(name, task.index, values, values, None), kept, _sources(pairs, names))


def _names(samples: Sequence[Sample], normal: Path, damaged: Path) -> list[str]:
    """Names that do not depend on where either folder lies."""
    roots = {"normal": normal, "damaged": damaged}
    return [
        next(f"{kind}/{sample.path.relative_to(root).as_posix()}" for kind, root in roots.items()
             if sample.path.is_relative_to(root))
        for sample in samples
    ]  # fmt: skip


def _sources(pairs: Sequence[Pair], names: Sequence[str]) -> dict[str, str]:
    """Name of each damaged image -> that of the normal one with its number."""
    named = list(zip(pairs, names, strict=True))
    normal = {pair.number: name for pair, name in named if not pair.sample.label}
    return {name: normal[pair.number] for pair, name in named if pair.sample.label}


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
                "have changed, or another processor, number of threads or version chose; run this where the run was "
                "trained."
            )


def _pairs(runner: Runner, normal: TaskFeatures, name: str, damaged: Path) -> list[Pair]:
    """The class's training images and their damaged versions.

    Those that the run held out are left out: its expert is new to them, and scores them on another level.

    Raises:
        UsageError: too few images are left.
    """
    home = home_of(runner.data.dataset, name)
    mine = [Pair(sample, number) for number, sample in enumerate(normal.samples) if sample.class_name == name]
    numbers = {pair.sample.path.relative_to(home.root).as_posix(): pair.number for pair in mine}
    all_damaged = read_damaged(damaged, home, name)
    made = [Pair(one.sample, numbers[one.source]) for one in all_damaged if one.source in numbers]
    if len(mine) < FEWEST or len(made) < FEWEST:
        raise UsageError(
            f"{name!r} has {len(mine)} normal images that the run was trained on and {len(made)} damaged ones of them: "
            f"expected {FEWEST} or more of each."
        )
    return [*mine, *made]


def _scores(runner: Runner, task: Task, name: str, pairs: Sequence[Pair]) -> ClassScores:
    """Scores of images, each without its own pieces."""
    samples, unknown = [pair.sample for pair in pairs], np.zeros(len(pairs), dtype=bool)
    runner.data.store.prepare(samples, title=f"features {name}")
    scored = [_scored(runner, task, *pair) for pair in progress(pairs, len(pairs), name, "image")]
    patches, images = (torch.cat(parts).cpu() for parts in zip(*scored, strict=True))
    tasks = [task.name] * len(pairs)
    return ClassScores(samples, task.name, tasks, patches, patches, images.numpy(), images.numpy(), unknown)


def _scored(runner: Runner, task: Task, sample: Sample, number: int) -> Scores:
    return scored_without(runner.model, task, number, runner.data.store.features([sample]).to(runner.device))
