"""MoLE-Flow under a shift: what stays, what is added, who scores what."""

from pathlib import Path

import numpy as np
import torch
from fake_peer import CLASSES

from moleflow.models.task import base_state, expert_state
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN
from moleflow.study.moleflow_methods import NewTask, TrainingImages, UpdatedExpert, stream_of
from moleflow.study.phases import Phases, look


def test_the_trainer_sees_training_parts_under_the_names_of_the_stream(bench: Bench):
    images = TrainingImages(bench)
    assert images.classes == ("fabric", "washer", "fabric@mild", "washer@mild", "fabric@severe", "washer@severe")
    shown = images.train("washer@mild")
    assert {sample.class_name for sample in shown} == {"washer@mild"}
    assert [sample.path for sample in shown] == [sample.path for sample in bench.part("mild", "washer", "train")]
    assert images.test("washer@mild") == []


def test_a_new_task_leaves_every_old_expert_and_the_base_as_they_were(bench: Bench):
    clean = stream_of(bench).clean.model
    before = {task: expert_state(clean, task) for task in CLASSES}
    base = {name: value.clone() for name, value in base_state(clean).items()}
    detector = NewTask(bench).fitted("mild", ("washer",))
    assert sorted(detector.model.tasks) == ["fabric", "washer", "washer@mild"]
    assert sorted(clean.tasks) == sorted(CLASSES)
    for task, state in before.items():
        for name, value in expert_state(detector.model, task).items():
            assert torch.equal(value, state[name])
    assert all(torch.equal(value, base[name]) for name, value in base_state(detector.model).items())
    assert detector.details == {"old_experts_unchanged": True}
    learned = expert_state(detector.model, "washer@mild")
    assert any(not torch.equal(value, learned[name]) for name, value in before["washer"].items())


def test_an_update_replaces_one_expert_by_the_very_one_that_the_new_task_has(bench: Bench):
    new, update = (kind(bench).fitted("mild", ("washer",)) for kind in (NewTask, UpdatedExpert))
    assert sorted(update.model.tasks) == ["fabric", "washer@mild"]
    states = [expert_state(detector.model, "washer@mild") for detector in (new, update)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert (new.seconds, new.bytes) == (update.seconds, update.bytes)
    assert "washer" in new.model.tasks  # taking it from the copy took nothing from the original


def test_scores_are_those_of_the_routed_expert(bench: Bench):
    detector = NewTask(bench).fitted("mild", ("washer",))
    features = next(bench.batches(bench.part("mild", "washer", "test")))
    verdict = detector.score(features, "washer", "mild")
    routed = detector.model.route(features)
    with torch.no_grad():
        expected = detector.model.score(features, routed)
        own = detector.model.score(features, ["washer@mild"] * len(features))
    np.testing.assert_allclose(verdict.images, expected.images.numpy(), rtol=1e-5)
    np.testing.assert_allclose(verdict.at_home_images, own.images.numpy(), rtol=1e-5)
    np.testing.assert_array_equal(verdict.at_home, [name == "washer@mild" for name in routed])
    assert verdict.maps.shape == (len(features), 16, 16)


def test_several_classes_are_one_task_of_a_model_of_its_own(bench: Bench):
    detector = UpdatedExpert(bench).fitted("severe", CLASSES)
    assert list(detector.model.tasks) == ["fabric@severe+washer@severe"]
    seen = look(bench, detector, "severe", "washer", "test")
    assert seen.details["routing_accuracy"] == 1
    assert len(seen.scored.samples) == len(bench.part("severe", "washer", "test"))


def test_all_phases_run(bench: Bench, tmp_path: Path):
    phases = Phases(bench, "moleflow-new", tmp_path)
    for pair in phases.todo():
        phases.run(*pair)
    assert phases.todo() == []
    assert phases._clean.keys() == set(CLASSES)
    assert (tmp_path / "moleflow-new" / CLEAN / CLEAN / "washer" / "result.json").exists()
