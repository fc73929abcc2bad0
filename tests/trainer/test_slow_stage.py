"""F13: what moves after a later task's training, and what does not."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, TRAINING, tiny_model
from textures import Textures, learn, stream

from moleflow.config.resolve import layer_from_flags, resolve
from moleflow.config.variants import FastOnly, Flow, Ogp, SlowStage
from moleflow.losses.build import build_loss
from moleflow.models.task import base_state, expert_state, learners, shared_later, slow_learners
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.regularizers.build import build_protector

A, B, C = stream("abc")
FAST = replace(TINY, flow=Flow(layers=3))
SLOW = replace(FAST, slow=SlowStage(epochs=2, lr_ratio=0.5, last_blocks=1))
B_AS_A = replace(A, index=1)
LAST = "flow.blocks.module_list.2."


def copied(state):
    return {name: tensor.clone() for name, tensor in state.items()}


def changed(one, other):
    return {name for name, tensor in one.items() if tensor.numpy().tobytes() != other[name].numpy().tobytes()}


def test_only_the_last_shared_blocks_move_and_only_after_later_tasks():
    fast, slow = learn(tiny_model(FAST), [A], FAST), learn(tiny_model(SLOW), [A], SLOW)
    assert not changed(base_state(fast), base_state(slow)), "the first task has no slow stage"
    base = copied(base_state(slow))
    learn(slow, [B], SLOW)
    moved = changed(base, base_state(slow))
    assert moved == {name for name in base if name.startswith(LAST)}
    learn(fast, [B], FAST)
    own, slows_own = expert_state(fast, "b"), expert_state(slow, "b")
    assert not {name for name in changed(own, slows_own) if "reference" not in name}, "the expert is fixed meanwhile"
    assert not any(parameter.requires_grad for parameter in slow.parameters())


def test_the_flow_says_which_weights_move_and_no_expert_does():
    model = learn(tiny_model(SLOW), [A, B], SLOW)
    names = [learner.name for learner in slow_learners(model, B)]
    assert names
    assert all(name.startswith(LAST) and "task:" not in name for name in names)
    assert [learner.name for learner in shared_later(model, A)] == names
    assert not shared_later(learn(tiny_model(FAST), [A], FAST), A)
    always = replace(FAST, flow=Flow(layers=3, base_policy="always"))
    model = learn(tiny_model(always), [A], always)
    assert [one.name for one in shared_later(model, A)] == [one.name for one in learners(model, B_AS_A) if one.shared]


def test_a_part_that_never_learns_stays_within_a_block_that_moves():
    model = learn(tiny_model(SLOW), [A, B], SLOW)
    part = model.flow.blocks.module_list[2].subnet
    part.trains_shared = lambda task: False
    assert list(slow_learners(model, B)) == []


def test_its_steps_and_rate_are_logged_after_the_main_ones():
    rows = []
    training = replace(TRAINING, num_steps=None, num_epochs=3, batch_size=12, warmup_epochs=0, lr=0.01)
    log = lambda task, step, values: rows.append((task.name, step, values["lr"]))
    trainer = ContinualTrainer(tiny_model(SLOW), build_loss(SLOW), training, log, False, None, 2, 0.5)
    for task in (A, B):
        trainer.train(task, Textures(task.name), Textures(task.name, images=5))
    assert [(name, step) for name, step, _ in rows] == [("a", 0), ("a", 5), ("b", 0), ("b", 5), ("b", 6), ("b", 9)]
    assert rows[2][2] == pytest.approx(0.01)
    assert rows[4][2] == pytest.approx(0.005)


def test_a_protector_watches_over_the_slow_stage():
    config = replace(SLOW, protector=Ogp(max_rank=3, samples=12))
    protector = build_protector(config, seed=0)
    model = learn(tiny_model(config), [A], config, protector)
    assert protector.bases
    assert all(name.startswith(LAST) for name in protector.bases), "only what will move"
    before = copied(base_state(model))
    learn(model, [B], config, protector)
    for name, basis in protector.bases.items():
        way = (base_state(model)[name] - before[name]).flatten()
        old = basis[:3]
        assert (old @ way).abs().max() < 1e-6


def resolved(**flags):
    return resolve({"cli": layer_from_flags(flags, "test")})


def test_it_warns_that_isolation_is_broken_and_no_epochs_are_no_stage():
    moving = resolved(slow_epochs=2)
    assert any("isolation is broken" in warning for warning in moving.warnings)
    assert moving.ablation.slow == SlowStage(epochs=2)
    idle = resolved(use_slow_stage=True)
    assert idle.ablation.slow == FastOnly()
    assert any("--slow_epochs 0" in warning for warning in idle.warnings)
    kept = resolved(slow_epochs=2, use_ogp=True)
    assert isinstance(kept.ablation.protector, Ogp)


def test_looking_at_a_task_before_its_training_changes_nothing():
    """What layers derive from weights while nothing learns (folded deltas) ends when a descent starts."""
    plain, looked_at = learn(tiny_model(SLOW), [A, B], SLOW), learn(tiny_model(SLOW), [A], SLOW)
    prepare = looked_at.prepare_task

    def look(task, batches):
        prepare(task, batches)
        with torch.no_grad():
            looked_at.mean_nll(Textures("b").features, "b")

    looked_at.prepare_task = look
    learn(looked_at, [B], SLOW)
    assert not changed(base_state(plain), base_state(looked_at))
    assert not changed(expert_state(plain, "b"), expert_state(looked_at, "b"))
