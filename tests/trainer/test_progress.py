"""A task that was stopped goes on mid-epoch and ends with the bytes of one that never was."""

import os
import signal
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from fakes import TINY, TRAINING, tiny_model
from textures import Textures, learn, stream

from moleflow.config.variants import Dia, Distillation, Dsm, Ewc, Flow, Ogp, Replay, SlowStage
from moleflow.losses.build import build_loss
from moleflow.models.task import base_state, expert_state
from moleflow.trainer import progress_file
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.progress_file import PROGRESS, ProgressFile
from moleflow.trainer.regularizers.build import build_protector
from moleflow.utils.interrupt import Interrupted, held, listening

A, B, C = stream("abc")
ALWAYS = replace(TINY, flow=Flow(layers=2, base_policy="always"))
SLOW = replace(TINY, slow=SlowStage(epochs=2, lr_ratio=0.5, last_blocks=1))
AUTO = replace(TINY, dia=Dia(blocks=None))
PRETRAINED = replace(TINY, flow=Flow(layers=2, base_policy="pretrained"))
STEPS = TRAINING.num_steps
QUICK = replace(TRAINING, warmup_epochs=0.5)


class Killed(Exception):
    """What a test does to a run."""


class Mortal(ProgressFile):
    """Writes after every step; the program dies after some writes."""

    share = float("inf")

    def __init__(self, path, lives):
        super().__init__(path)
        self.lives = lives

    def write(self, position):
        super().write(position)
        self.lives -= 1
        if self.lives == 0:
            raise Killed


class Life:
    """A model that has learned the tasks before, its protector, and what is logged of the task to come."""

    def __init__(self, config, done=()):
        self.config, self.rows = config, []
        self.model, self.protector = tiny_model(config), build_protector(config, seed=0)
        learn(self.model, done, config, self.protector)

    def trainer(self, keeper):
        slow = self.config.slow if isinstance(self.config.slow, SlowStage) else SlowStage()
        log = lambda task, step, values: self.rows.append((task.name, step, values))
        terms, stage = build_loss(self.config), (slow.epochs, slow.lr_ratio)
        return ContinualTrainer(self.model, terms, QUICK, log, False, self.protector, *stage, keeper)

    def train(self, task, keeper=None):
        self.trainer(keeper).train(task, Textures(task.name), Textures(task.name, images=5))
        return self

    def bytes(self, task):
        states = {"base": base_state(self.model), "guard": self.protector.state()}
        if task:
            states["expert"] = expert_state(self.model, task.name)
        return {
            f"{kind} {name}": value.numpy().tobytes() for kind, own in states.items() for name, value in own.items()
        }


def assert_same_end(one, other, task):
    assert one.rows == other.rows, "nothing is logged twice, nothing is lost"
    first, second = one.bytes(task), other.bytes(task)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


CASES = {
    "first task": (TINY, A, [3]),
    "frozen base, killed twice": (TINY, B, [3, 2]),
    "after the last step": (TINY, B, [STEPS]),
    "a loss that draws noise": (replace(TINY, dsm=Dsm()), B, [3]),
    "ogp": (replace(ALWAYS, protector=Ogp(max_rank=3, samples=12)), B, [5]),
    "ewc": (replace(ALWAYS, protector=Ewc(1000.0)), B, [5]),
    "replay": (replace(ALWAYS, protector=Replay(per_task=6, weight=2.0)), C, [5]),
    "distillation": (replace(ALWAYS, protector=Distillation(20.0)), C, [5]),
    "before the slow stage": (SLOW, B, [4]),
    "in the slow stage": (SLOW, B, [STEPS + 2]),
    "in the first candidate": (AUTO, B, [3]),
    "in the third candidate, then in the fifth": (AUTO, B, [2 * STEPS + 3, 2 * STEPS]),
    "in the slow stage after candidates": (replace(AUTO, slow=SLOW.slow), B, [5 * STEPS + 1]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_task_ends_with_the_same_bytes(name, tmp_path):
    config, task, deaths = CASES[name]
    start = Life(config, [A, B][: task.index])
    steps, left = Mortal(tmp_path / "whole.safetensors", -1), Mortal(tmp_path / PROGRESS, -1)
    whole = deepcopy(start).train(task, steps)
    for lives in deaths:
        with pytest.raises(Killed):
            deepcopy(start).train(task, Mortal(tmp_path / PROGRESS, lives))
    resumed = deepcopy(start).train(task, left)
    assert steps.lives - left.lives == -sum(deaths), "only the steps that were left were taken"
    assert_same_end(whole, resumed, task)


def test_pretraining_goes_on_too(tmp_path):
    whole, broken, resumed = (Life(PRETRAINED) for _ in range(3))
    whole.trainer(None).pretrain(Textures("z"))
    with pytest.raises(Killed):
        broken.trainer(Mortal(tmp_path / PROGRESS, 3)).pretrain(Textures("z"))
    resumed.trainer(ProgressFile(tmp_path / PROGRESS)).pretrain(Textures("z"))
    assert_same_end(whole, resumed, None)


@pytest.fixture
def stopped(tmp_path):
    """A life before task b, and the file of one that died in it."""
    start = Life(TINY, [A])
    with pytest.raises(Killed):
        deepcopy(start).train(B, Mortal(tmp_path / PROGRESS, 3))
    return start, tmp_path / PROGRESS


def flipped(file):
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "flipped": (flipped, "is damaged: it differs from its hash"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:1000]), "damaged or unreadable"),
    "empty": (lambda file: file.write_bytes(b""), "damaged or unreadable"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named_and_the_task_starts_anew(kind, stopped, monkeypatch):
    start, file = stopped
    damage, reason = DAMAGE[kind]
    damage(file)
    said = []
    monkeypatch.setattr(progress_file, "say", said.append)
    keeper = ProgressFile(file)
    keeper.share = 0  # a write is never due
    whole, resumed = deepcopy(start).train(B), deepcopy(start).train(B, keeper)
    assert len(said) == 1
    assert reason in said[0]
    assert str(file) in said[0]
    assert not file.exists()
    assert_same_end(whole, resumed, B)


def test_a_file_of_other_images_is_not_taken_up(stopped, monkeypatch):
    start, file = stopped
    said, life = [], deepcopy(start)
    monkeypatch.setattr(progress_file, "say", said.append)
    life.trainer(ProgressFile(file)).train(B, Textures("c"), Textures("b", images=5))
    assert "is of another training, of other images or of another version" in said[0]
    assert life.rows[0][1] == 0


def test_a_disk_that_takes_nothing_does_not_end_the_training(tmp_path, monkeypatch):
    said, start = [], Life(TINY, [A])
    monkeypatch.setattr(progress_file, "say", said.append)
    (tmp_path / "file").write_text("no folder")
    life = deepcopy(start).train(B, Mortal(tmp_path / "file" / PROGRESS, -1))
    assert len(said) == STEPS
    assert "cannot write" in said[0]
    assert_same_end(deepcopy(start).train(B), life, B)


class Signalled(Textures):
    """Images of which the third batch brings a signal."""

    taken = 0

    def take(self, indices):
        self.taken += 1
        if self.taken == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().take(indices)


def test_a_signal_ends_the_step_and_keeps_the_position(tmp_path):
    start = Life(TINY, [A])
    keeper = Mortal(tmp_path / PROGRESS, -1)
    keeper.share = 0  # a write is never due
    with pytest.raises(Interrupted) as caught, listening(), held():
        deepcopy(start).trainer(keeper).train(B, Signalled("b"), Textures("b", images=5))
    assert caught.value.exit_code == 143
    assert keeper.lives == -2
    whole, resumed = deepcopy(start).train(B), deepcopy(start)
    images = Textures("b")
    images.take = lambda indices, take=images.take: resumed.shown.append(1) or take(indices)
    resumed.shown = []
    resumed.trainer(ProgressFile(tmp_path / PROGRESS)).train(B, images, Textures("b", images=5))
    assert len(resumed.shown) == STEPS - 3
    assert_same_end(whole, resumed, B)


def test_writing_takes_no_more_than_its_share_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_file.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(ProgressFile, "share", 0.02)
    keeper = ProgressFile(tmp_path / PROGRESS)
    keeper.read(lambda: "owner")
    size, waits = 200_000_000, []
    for cost in (4.0, 0.5, 0.5):
        begun = now[0]
        while not keeper.due(size):
            now[0] += 1.0
        waits.append(now[0] - begun)
        monkeypatch.setattr(
            progress_file, "write_tensors", lambda *_, cost=cost, **__: now.__setitem__(0, now[0] + cost)
        )
        keeper.write(progress_file.Position({"x": torch.zeros(1)}, {}))
    assert waits == [100.0, 200.0, 25.0], "by size at first, then by what the last write took"
    assert keeper.seconds == 5.0
