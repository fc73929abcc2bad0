"""Training one task: schedule, order of images, failures, what is logged."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import TINY, TRAINING, FakeFeatures, tiny_model, train_task, trained

from moleflow.config.task import Task
from moleflow.config.variants import NoAdapter, NoDia, NoLora
from moleflow.losses.build import build_loss
from moleflow.models.task import Learner, base_state, trained_in
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.optimizers import adamw, image_order, warmup_cosine
from moleflow.utils.errors import MoleflowError

A, B = Task(("a",), 0), Task(("b",), 1)


def test_image_order_shows_every_image_equally_often_in_full_batches():
    batches = list(image_order(images=10, batch_size=4, steps=10, seed=0))
    assert [len(batch) for batch in batches] == [4] * 10
    shown = [index for batch in batches for index in batch]
    assert sorted(shown) == sorted(list(range(10)) * 4)
    assert sorted(shown[:10]) == list(range(10)), "a permutation before any image comes again"
    assert batches == list(image_order(10, 4, 10, seed=0))
    assert batches != list(image_order(10, 4, 10, seed=1))


def test_a_batch_larger_than_the_class_is_the_class():
    assert [sorted(batch) for batch in image_order(3, 16, 2, seed=0)] == [[0, 1, 2], [0, 1, 2]]


def learner(lr_factor: float = 1.0) -> Learner:
    return Learner("weight", torch.nn.Parameter(torch.zeros(1)), False, lr_factor)


def test_learners_of_another_pace_have_a_group_of_their_own():
    slow, fast = learner(), learner(lr_factor=100)
    optimizer = adamw([slow, fast, learner()], lr=0.01, weight_decay=0)
    assert [(len(group["params"]), group["lr"]) for group in optimizer.param_groups] == [(2, 0.01), (1, 1.0)]


def test_learning_rate_warms_up_and_follows_a_cosine_to_zero():
    optimizer = adamw([learner()], lr=1.0, weight_decay=0)
    schedule = warmup_cosine(optimizer, warmup=10, steps=110)
    rates = []
    for _ in range(110):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.5)
    assert rates[-1] < 0.001
    assert all(0 <= rate <= 1 for rate in rates)


def test_warmup_never_eats_a_short_training():
    optimizer = adamw([learner()], lr=1.0, weight_decay=0)
    schedule = warmup_cosine(optimizer, warmup=100, steps=10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) == 1.0


@pytest.mark.parametrize(
    ("changes", "images", "expected"),
    [
        ({"num_steps": 7}, 100, 7),
        ({"num_steps": 7, "num_epochs": 2, "batch_size": 4}, 6, 3),
        ({"num_steps": None, "num_epochs": 3, "batch_size": 16}, 40, 8),
        ({"num_steps": None, "num_epochs": 3, "batch_size": 16}, 5, 3),
    ],
)
def test_steps_come_from_epochs_or_are_given(changes, images, expected):
    trainer = ContinualTrainer(tiny_model(), build_loss(TINY), replace(TRAINING, **changes), lambda *_: None)
    assert trainer.steps_for(images) == expected


class Poisoned(FakeFeatures):
    """Features that become NaN at the third step."""

    taken = 0

    def take(self, indices):
        self.taken += 1
        return super().take(indices) * (math.nan if self.taken == 3 else 1.0)


def test_a_loss_that_is_not_finite_stops_the_task_and_names_the_step():
    model = trained(["a"])
    base = {name: tensor.clone() for name, tensor in base_state(model).items()}
    trainer = ContinualTrainer(model, build_loss(TINY), TRAINING, lambda *_: None)
    with pytest.raises(MoleflowError, match=r"task 'b' stopped being finite at step 2 .*tail_nll = nan") as caught:
        trainer.train(B, Poisoned("b"), FakeFeatures("b"))
    assert caught.value.exit_code == 1
    assert all(torch.equal(base[name], tensor) for name, tensor in base_state(model).items())


def test_what_is_logged_is_every_term_and_they_sum_to_the_loss():
    rows = []
    model = tiny_model()
    log = lambda task, step, values: rows.append((task.name, step, values))
    ContinualTrainer(model, build_loss(TINY), TRAINING, log).train(A, FakeFeatures("a"), FakeFeatures("a"))
    assert [(name, step) for name, step, _ in rows] == [("a", 0), ("a", 7)]
    for _, _, values in rows:
        assert set(values) == {"loss", "penalties", "tail_nll", "logdet_penalty", "lr"}
        assert values["loss"] == pytest.approx(sum(values[k] for k in ("penalties", "tail_nll", "logdet_penalty")))


def test_a_task_with_nothing_to_learn_still_gets_statistics_and_a_threshold():
    config = replace(TINY, lora=NoLora(), dia=NoDia(), adapter=NoAdapter())
    model = trained(["a", "b"], config)
    assert not list(trained_in(model, B))
    assert model.router.statistics["b"].count.tolist() == [12]
    assert torch.isfinite(model.threshold("b"))


def test_without_held_out_images_there_is_no_threshold():
    model = tiny_model()
    trainer = ContinualTrainer(model, build_loss(TINY), TRAINING, lambda *_: None)
    empty = FakeFeatures("a", images=0)
    empty.batches = list
    trainer.train(A, FakeFeatures("a"), empty)
    assert torch.isnan(model.threshold("a"))


def test_optimizers_are_new_for_every_task():
    """No momentum is carried: a task trained after another equals the same task trained on the base alone."""
    one, other = trained(["a", "b", "c"]), trained(["a"])
    train_task(other, Task(("c",), 2))
    delta = lambda model: model.flow.blocks[0].subnet.enter.deltas["c"].B
    assert torch.equal(delta(one), delta(other))


def test_bfloat16_training_stays_close_and_keeps_logdets_in_float32():
    model = tiny_model()
    model.begin_task(A, 0)
    features = FakeFeatures("a").features
    with torch.autocast("cpu", torch.bfloat16):
        latent = model.likelihood(features, "a")
    assert latent.flow_logdet.dtype == torch.float32
    assert latent.nll.dtype == torch.float32
    torch.testing.assert_close(latent.nll, model.likelihood(features, "a").nll, rtol=0.05, atol=0.3)
    trainer = ContinualTrainer(model, build_loss(TINY), TRAINING, lambda *_: None, amp=True)
    trainer.train(B, FakeFeatures("b"), FakeFeatures("b"))
    with torch.no_grad():
        assert torch.isfinite(model.score(features, ["b"] * len(features)).patches).all()
