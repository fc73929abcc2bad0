"""Memory runs out in a step: the batch is halved once for the task, then one sentence says what to do."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from fakes import TINY
from registry.miniature import CLASSES, promised, trained
from test_progress import ALWAYS, A, B, Killed, Life, Mortal, assert_same_end
from textures import Textures

from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.task import base_state
from moleflow.trainer.memory import StepOutOfMemory
from moleflow.trainer.progress_file import PROGRESS
from moleflow.utils.memory import is_out_of_memory

FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried")


class Large(Textures):
    """Images of which more than some do not fit into memory, from the second step on."""

    fits, asked = 2, 0

    def take(self, indices):
        self.asked += 1
        if len(indices) > self.fits and self.asked > 1:
            raise FULL
        return super().take(indices)


@pytest.mark.parametrize(("error", "expected"), [
    (MemoryError(), True), (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True), (FULL, True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
    (RuntimeError("shapes do not match"), False), (ValueError("can't allocate memory"), False),
])  # fmt: skip
def test_running_out_of_memory_is_told_from_other_failures(error, expected):
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(("config", "task"), [(TINY, A), (TINY, B), (ALWAYS, B)])
def test_a_task_that_does_not_fit_is_undone_and_half_the_batch_is_as_if_it_had_been_asked_for(config, task):
    start = Life(config, [A] if task is B else [])
    large, images = deepcopy(start), Large(task.name)
    with pytest.raises(StepOutOfMemory, match=r"with 4 images; finished tasks are kept: free memory .* --batch_size"):
        large.trainer(None).train(task, images, Textures(task.name, images=5))
    before, after = base_state(start.model), base_state(large.model)
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    assert set(large.model.tasks) == set(start.model.tasks)
    assert not any(parameter.requires_grad for parameter in large.model.parameters())
    large.rows.clear()
    assert large.trainer(None).train(task, images, Textures(task.name, images=5), batch_size=2) == 2
    asked = deepcopy(start)
    trainer = asked.trainer(None)
    trainer.config = replace(trainer.config, batch_size=2)
    trainer.train(task, Textures(task.name), Textures(task.name, images=5))
    assert_same_end(asked, large, task)


def test_a_halved_batch_is_the_last_try_and_so_is_a_single_image():
    images = Large("b")
    images.fits = 0
    for batch_size, last in ((None, False), (2, True)):
        with pytest.raises(StepOutOfMemory) as caught:
            Life(TINY, [A]).trainer(None).train(B, images, Textures("b", images=5), batch_size=batch_size)
        assert caught.value.last is last
    assert StepOutOfMemory(B, 1, last=False).last


def test_a_stopped_task_goes_on_with_its_halved_batch(tmp_path):
    start, held_out = Life(TINY, [A]), Textures("b", images=5)
    whole = deepcopy(start)
    whole.trainer(None).train(B, Textures("b"), held_out, batch_size=2)
    with pytest.raises(Killed):
        deepcopy(start).trainer(Mortal(tmp_path / PROGRESS, 3)).train(B, Textures("b"), held_out, batch_size=2)
    resumed = deepcopy(start)
    assert resumed.trainer(Mortal(tmp_path / PROGRESS, -1)).train(B, Textures("b"), held_out) == 2
    assert_same_end(whole, resumed, B)


def test_other_failures_pass_as_they_are():
    images = Textures("b")
    images.take = lambda indices: images.features[list(indices), :, :, :3]
    with pytest.raises(RuntimeError) as caught:
        Life(TINY, [A]).trainer(None).train(B, images, Textures("b", images=5))
    assert not isinstance(caught.value, StepOutOfMemory)


def fitting(monkeypatch, most, name):
    """Steps of a class with more than so many images fail."""
    take = TaskFeatures.take

    def limited(self, indices):
        if len(indices) > most and self.samples[0].class_name == name:
            raise MemoryError
        return take(self, indices)

    monkeypatch.setattr(TaskFeatures, "take", limited)


def test_a_run_halves_the_batch_of_one_task_notes_it_and_goes_on(tmp_path, monkeypatch, capsys):
    two, plain = ("--task_classes", *CLASSES[:2]), tmp_path / "plain"
    assert trained(plain, *two) == 0
    fitting(monkeypatch, 4, CLASSES[1])
    assert trained(tmp_path / "large", *two) == 0
    assert f"memory ran out with 8 images a step; {CLASSES[1]} starts anew with 4" in capsys.readouterr().err
    run = tmp_path / "large" / "run"
    assert json.loads((run / "cost.json").read_text())["halved_batch_sizes"] == {CLASSES[1]: 4}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [(row["task"], row["step"]) for row in rows if "task" in row]
    assert len(set(steps)) == len(steps)
    same = {name for name, digest in promised(run).items() if promised(plain / "run")[name] == digest}
    assert {"base.safetensors", f"experts/{CLASSES[0]}.safetensors"} <= same
    assert f"experts/{CLASSES[1]}.safetensors" not in same


def short_of_memory(monkeypatch, name, stops_at=None):
    """The first step of a class fails, with its whole batch; the program is stopped in a later one."""
    take, count = TaskFeatures.take, [0]

    def limited(self, indices):
        count[0] += self.samples[0].class_name == name
        if count[0] == 1 and len(indices) > 4:
            raise MemoryError
        if count[0] == stops_at:
            raise KeyboardInterrupt
        return take(self, indices)

    monkeypatch.setattr(TaskFeatures, "take", limited)


def test_who_resumes_halves_the_batch_of_folds_too_though_memory_is_back(tmp_path, monkeypatch):
    words = ("--task_classes", *CLASSES[:2], "--calibration_folds", "3")
    with monkeypatch.context() as patch:
        short_of_memory(patch, CLASSES[1])
        assert trained(tmp_path / "whole", *words) == 0
    with monkeypatch.context() as patch:
        short_of_memory(patch, CLASSES[1], stops_at=8)  # one that failed, two of each fold, one of the task's own
        assert trained(tmp_path / "stopped", *words) == 130
    assert CLASSES[1] in json.loads((tmp_path / "stopped" / "run" / "cost.json").read_text())["halved_batch_sizes"]
    assert trained(tmp_path / "stopped", *words, "--resume") == 0
    assert promised(tmp_path / "stopped" / "run") == promised(tmp_path / "whole" / "run")


def test_half_the_batch_that_does_not_fit_is_one_sentence_and_finished_tasks_stay(tmp_path, monkeypatch, capsys):
    fitting(monkeypatch, 3, CLASSES[1])
    assert trained(tmp_path, "--task_classes", *CLASSES[:2]) == 1
    error = capsys.readouterr().err
    assert f"error: Memory ran out in a step of task '{CLASSES[1]}' with 4 images" in error
    assert "--batch_size" in error
    assert "Traceback" not in error
    assert (tmp_path / "run" / "experts" / f"{CLASSES[0]}.safetensors").exists()
