"""What calibrates a task never trains it: by the features themselves. Scoring training images leaves no trace."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from fakes import TINY, TRAINING, FakeFeatures, product_features, tiny_model
from torch import Tensor

from moleflow.config.ablation import AblationConfig
from moleflow.config.task import Task
from moleflow.config.variants import (
    ContentPosition,
    Dia,
    InstanceNormAdapter,
    MapOfAll,
    MapOfFinest,
    PatchMemory,
    Percentile,
    PlaceGaussian,
    RegionDecision,
    Reject,
    ZcaAdapter,
)
from moleflow.extractors.batch import Batch
from moleflow.losses.build import build_loss
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state
from moleflow.models.views.patch_memory import Bank
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.cross_fitting import without_themselves

TASKS = (Task(("a",), 0), Task(("b",), 1))
EVERYTHING = replace(
    TINY, place_gaussian=PlaceGaussian(), patch_memory=PatchMemory(), open_set=Reject(0.1), decision=RegionDecision(2),
    position=ContentPosition(), adapter=InstanceNormAdapter(),
)  # fmt: skip
OWN = ("reference.", "decision.")
"""What of an expert cross-fitting is for."""


class Part(FakeFeatures):
    """Some images of a product, drawn from a seed."""

    def __init__(self, name: str, images: int, seed: int):
        self.features = product_features(name, images, seed)
        self.classes = torch.zeros(images)

    def batches(self) -> list[Batch]:
        """All features in one batch; none where there are none."""
        return super().batches() if len(self) else []


def folds_of(normal: FakeFeatures, name: str, count: int = 3) -> list[tuple[Part, Part]]:
    pairs = []
    for fold in range(count):
        rest, left_out = Part(name, 0, 0), Part(name, 0, 0)
        chosen = torch.arange(len(normal)) % count == fold
        rest.features, left_out.features = normal.features[~chosen], normal.features[chosen]
        rest.classes, left_out.classes = torch.zeros(len(rest)), torch.zeros(len(left_out))
        pairs.append((rest, left_out))
    return pairs


def rows(features: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in features.detach()}


class Witness:
    """A model that notes the features that reach its parts, and when calibration has begun."""

    def __init__(self, model: MoLEFlow, monkeypatch: pytest.MonkeyPatch):
        self.seen: dict[str, set[bytes]] = {"training": set(), "calibration": set()}
        self.now = "training"
        for name in ("likelihood", "learn_scales", "scored", "prepare_task", "finish_task"):
            monkeypatch.setattr(model, name, self._watched(name, getattr(model, name)))

    def _watched(self, name: str, method):
        def watched(*given):
            outer = self.now
            self.now = "calibration" if name in ("learn_scales", "scored") else self.now
            for value in given:
                if isinstance(value, Tensor):
                    self.seen[self.now] |= rows(value)
                elif callable(value):
                    self.seen[self.now] |= {row for batch in value() for row in rows(batch.features)}
            result = method(*given)
            self.now = outer
            return result

        return watched


@pytest.mark.parametrize("crossed", [False, True], ids=["held out", "cross-fitted"])
@pytest.mark.parametrize("config", [TINY, EVERYTHING], ids=["flow", "everything"])
def test_held_out_features_never_reach_training(config: AblationConfig, crossed: bool, monkeypatch):
    model = tiny_model(config)
    trainer = ContinualTrainer(model, build_loss(config), TRAINING, lambda *_: None)
    for task in TASKS:
        normal, held_out = Part(task.name, 12, 0), Part(task.name, 6, 1)
        with monkeypatch.context() as patch:
            witness = Witness(model, patch)
            trainer.train(task, normal, held_out, folds_of(normal, task.name) if crossed else ())
        assert rows(normal.features) <= witness.seen["training"], "the witness sees what trains"
        assert rows(held_out.features) <= witness.seen["calibration"]
        assert not rows(held_out.features) & witness.seen["training"]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TINY, id="flow"),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(replace(TINY, adapter=ZcaAdapter()), id="zca"),
        pytest.param(replace(TINY, dia=Dia(None)), id="auto", marks=pytest.mark.slow),
    ],
)
def test_cross_fitting_changes_reference_scores_and_no_other_byte(config: AblationConfig):
    states = []
    for crossed in (False, True):
        model = tiny_model(config)
        trainer = ContinualTrainer(model, build_loss(config), TRAINING, lambda *_: None)
        for task in TASKS:
            normal = Part(task.name, 12, 0)
            folds = folds_of(normal, task.name) if crossed else ()
            trainer.train(task, normal, Part(task.name, 6, 1), folds)
        states.append((base_state(model), expert_state(model, "a"), expert_state(model, "b")))
        sizes = [len(model.reference[name].scores) for name in "ab"]
        assert sizes == ([18, 18] if crossed else [6, 6])
    for plain, crossed_state in zip(*states, strict=True):
        assert plain.keys() == crossed_state.keys()
        for name, value in plain.items():
            if not name.startswith(OWN):
                assert torch.equal(value, crossed_state[name]), name


def test_a_left_out_image_is_scored_by_an_expert_that_has_not_seen_it():
    """One image is odd: where it is left out it is the farthest; the others' expert has no idea of it."""
    normal = Part("a", 12, 0)
    normal.features[0] += 3 * torch.randn(normal.features[0].shape, generator=torch.Generator().manual_seed(3))
    model = tiny_model()
    trainer = ContinualTrainer(model, build_loss(TINY), replace(TRAINING, num_steps=30), lambda *_: None)
    trainer.train(TASKS[0], normal, Part("a", 0, 0), folds_of(normal, "a"))
    seen = model.score_as(normal.features[:1], "a").images
    assert len(model.reference["a"].scores) == 12
    assert model.reference["a"].scores[-1] > seen[0], "trained on it, the final expert finds it likelier"


REMEMBERED = replace(TINY, patch_memory=PatchMemory(size=30, poolings=(1, 2)))
ALL = replace(TRAINING, calibration_images="all")


def trained_on(normal: Part, held_out: Part, config: AblationConfig = REMEMBERED, training=ALL) -> MoLEFlow:
    model = tiny_model(config)
    ContinualTrainer(model, build_loss(config), training, lambda *_: None).train(TASKS[0], normal, held_out)
    return model


def test_training_images_are_scored_without_what_is_kept_of_them():
    normal, held_out = Part("a", 12, 0), Part("a", 6, 1)
    model = trained_on(normal, held_out)
    banks = [view.banks["a"] for view in model.fusion.views]
    assert all(0 < bank.spares.isfinite().sum() < len(bank.spares) for bank in banks)
    expected = []
    for image in range(12):
        alone = copy.deepcopy(model)
        for view in alone.fusion.views:
            view.banks["a"].forward = partial(_distances, view.banks["a"], image)
        expected.append(alone.score_as(normal.features[image : image + 1], "a").images)
    held = model.score_as(held_out.features, "a").images.double()
    expected = torch.cat(expected).double()
    expected += held.mean() - expected.mean()
    found = model.reference["a"].scores
    torch.testing.assert_close(found, torch.cat([expected, held]).sort().values, rtol=1e-4, atol=1e-3)


def _distances(bank: Bank, image: int, patches: Tensor) -> Tensor:
    away = (patches[:, :, None] - bank.patches).norm(dim=-1)
    own = bank.owners == image
    away[:, :, own] += bank.spares[own]
    return away.amin(2)


@pytest.mark.parametrize("source", [MapOfAll(), MapOfFinest()], ids=["all", "finest"])
def test_images_and_maps_of_training_images_are_moved_to_held_out_ones(source: MapOfAll | MapOfFinest):
    normal, held_out = Part("a", 12, 0), Part("a", 6, 1)
    model = trained_on(normal, held_out, replace(REMEMBERED, map_source=source))
    (scores,) = without_themselves(model, TASKS[0], normal.batches, held_out.batches)
    to = model.score_as(held_out.features, "a")
    torch.testing.assert_close(scores.images.mean(), to.images.mean())
    by_map = [model.aggregation(patches, "a").mean() for patches in (scores.patches, to.patches)]
    torch.testing.assert_close(*by_map)
    assert torch.allclose(model.aggregation(scores.patches, "a"), scores.images, atol=1e-3) == (source == MapOfAll())


def test_each_class_of_a_task_is_moved_to_its_own_held_out_images():
    normal, held_out = Part("a", 12, 0), Part("a", 6, 1)
    for part, few in ((normal, 2), (held_out, 3)):
        part.features[few:] += 2 * torch.randn(6, generator=torch.Generator().manual_seed(5))
        part.classes[few:] = 1
    model = trained_on(normal, held_out)
    moved = list(without_themselves(model, TASKS[0], normal.batches, held_out.batches))
    to = model.score_as(held_out.features, "a").images
    assert [len(scores.images) for scores in moved] == [2, 10]
    for scores, mean in zip(moved, (to[:3].mean(), to[3:].mean()), strict=True):
        torch.testing.assert_close(scores.images.mean(), mean)


@pytest.mark.parametrize("size", [30, 100])
def test_what_all_images_share_is_no_loss_when_one_is_left_out(size: int):
    """A row that all images show is kept once; the image it was taken from is no more odd for that."""
    normal, held_out = Part("a", 24, 0), Part("a", 8, 1)
    for part in (normal, held_out):
        part.features[:, 0] = 8.0
    model = trained_on(normal, held_out, replace(TINY, patch_memory=PatchMemory(size=size, poolings=(1,))))
    highest = model.reference["a"].scores[-1]
    assert highest < 2 * model.score_as(held_out.features, "a").images.max()


def test_calibrating_on_all_images_changes_reference_scores_and_no_other_byte():
    config = replace(EVERYTHING, patch_memory=PatchMemory(size=30))
    both = [trained_on(Part("a", 12, 0), Part("a", 6, 1), config, training) for training in (TRAINING, ALL)]
    assert [len(model.reference["a"].scores) for model in both] == [6, 18]
    assert not torch.equal(*(model.decision.regions["a"].limits for model in both))
    plain, all_images = ({**base_state(model), **expert_state(model, "a")} for model in both)
    assert plain.keys() == all_images.keys()
    for name, value in plain.items():
        if not name.startswith(OWN):
            assert torch.equal(value, all_images[name]), name


@pytest.mark.parametrize(
    ("training", "held_out", "config"),
    [
        pytest.param(12, 60, REMEMBERED, id="enough are held out"),
        pytest.param(12, 0, REMEMBERED, id="none is held out"),
        pytest.param(12, 6, TINY, id="no memory"),
        pytest.param(1, 6, REMEMBERED, id="one image"),
        pytest.param(1, 6, replace(REMEMBERED, aggregation=Percentile()), id="one image, no score of none"),
    ],
)
def test_held_out_images_calibrate_alone_where_no_others_can(training: int, held_out: int, config: AblationConfig):
    model = trained_on(Part("a", training, 0), Part("a", held_out, 1), config)
    assert len(model.reference["a"].scores) == held_out


def test_held_out_images_calibrate_alone_where_a_training_image_has_vanished():
    model, normal, held_out = tiny_model(REMEMBERED), Part("a", 12, 0), Part("a", 6, 1)
    finish = model.finish_task

    def vanishing(*given) -> None:
        finish(*given)
        normal.features, normal.classes = normal.features[1:], normal.classes[1:]

    model.finish_task = vanishing
    ContinualTrainer(model, build_loss(REMEMBERED), ALL, lambda *_: None).train(TASKS[0], normal, held_out)
    assert len(model.reference["a"].scores) == 6


def test_copies_of_one_image_leave_no_infinite_score():
    normal = Part("a", 3, 0)
    normal.features[1:] = normal.features[0]
    model = trained_on(normal, Part("a", 6, 1), replace(TINY, patch_memory=PatchMemory(size=30, poolings=(4,))))
    bank = model.fusion.views[0].banks["a"]
    assert len(bank.owners.unique()) == 1, "every patch is of one image"
    assert len(model.reference["a"].scores) == 9
    assert model.reference["a"].scores.isfinite().all()


def test_without_folds_nothing_is_fitted_twice(monkeypatch):
    begun = []
    model = tiny_model()
    monkeypatch.setattr(
        model, "begin_task", lambda task, seed, begin=model.begin_task: (begun.append(task), begin(task, seed))
    )
    trainer = ContinualTrainer(model, build_loss(TINY), TRAINING, lambda *_: None)
    trainer.train(TASKS[0], Part("a", 12, 0), Part("a", 6, 1))
    assert begun == [TASKS[0]]
    trainer.train(TASKS[1], Part("b", 12, 0), Part("b", 6, 1), folds_of(Part("b", 12, 0), "b", count=2))
    assert begun == [TASKS[0], *[TASKS[1]] * 3]
