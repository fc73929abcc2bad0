"""D1 with ``--dia_n_blocks auto``: which number of blocks a task gets, and that trying leaves no trace."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, TRAINING, tiny_model, trained
from textures import Textures, learn, stream

from moleflow.config.variants import Dia, Flow
from moleflow.losses.build import build_loss
from moleflow.models.dia.auto_dia import AutoDia
from moleflow.models.dia.coupling_dia import CouplingDia
from moleflow.models.task import begin_task, expert_state
from moleflow.trainer.choosing import keep_likeliest, mean_nll
from moleflow.trainer.continual_trainer import ContinualTrainer

A, B, C = stream("abc")
AUTO = replace(TINY, dia=Dia(blocks=None))


def active(model, task: str) -> int:
    return int(model.dia.blocks[task].active)


def without_asking(choice: int):
    """A model whose task b got so many blocks, and the held-out NLL of its expert before it was rounded."""
    model, judged = learn(tiny_model(AUTO), [A], AUTO), []
    trainer = ContinualTrainer(model, build_loss(AUTO), TRAINING, lambda *_: None)
    finish = model.finish_task

    def judge_and_finish(task, batches, dtype):
        judged.append(mean_nll(model, task, Textures(task.name, images=5).batches))
        finish(task, batches, dtype)

    model.finish_task = judge_and_finish
    model.dia.choices = lambda task: (choice,)
    trainer.train(B, Textures("b"), Textures("b", images=5))
    return model, judged[0]


def test_the_likeliest_on_held_out_images_is_kept_as_if_nothing_else_had_been_tried():
    chosen = learn(tiny_model(AUTO), [A, B], AUTO)
    candidates = {choice: without_asking(choice) for choice in (2, 3, 4, 5, 6)}
    nlls = {choice: nll for choice, (_, nll) in candidates.items()}
    assert len(set(nlls.values())) == 5, "the choice makes a difference"
    assert active(chosen, "b") == min(nlls, key=nlls.get)
    one, other = expert_state(chosen, "b"), expert_state(candidates[active(chosen, "b")][0], "b")
    assert all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)


def test_a_task_that_moves_shared_weights_keeps_four_blocks():
    assert active(learn(tiny_model(AUTO), [A], AUTO), "a") == 4
    always = replace(AUTO, flow=Flow(layers=2, base_policy="always"))
    assert active(learn(tiny_model(always), [A, B], always), "b") == 4


def test_without_held_out_images_training_images_judge():
    model = learn(tiny_model(AUTO), [A], AUTO)
    empty = Textures("b", images=0)
    empty.batches = list
    ContinualTrainer(model, build_loss(AUTO), TRAINING, lambda *_: None).train(B, Textures("b"), empty)
    assert active(model, "b") in (2, 3, 4, 5, 6)
    assert torch.isnan(model.threshold("b"))


def test_only_the_kept_candidate_is_logged():
    rows = []
    log = lambda task, step, values: rows.append((task.name, step))
    trainer = ContinualTrainer(tiny_model(AUTO), build_loss(AUTO), TRAINING, log)
    for task in (A, B):
        trainer.train(task, Textures(task.name), Textures(task.name, images=5))
    assert rows == [("a", 0), ("a", 7), ("b", 0), ("b", 7)]


@pytest.mark.parametrize("blocks", [2, 5])
def test_its_first_blocks_are_a_dia_of_so_many_and_the_inverse_undoes_them(blocks):
    auto, plain = AutoDia((2, 3, 5), 1.0, 1.9), CouplingDia((2, 3, 5), blocks, 1.0, 1.9)
    for dia in (auto, plain):
        begin_task(dia, A, 0)
        dia.double()
    auto.choose(A, blocks)
    with torch.no_grad():
        for parameter in auto.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    own = {name.removeprefix("blocks."): tensor for name, tensor in auto.blocks["a"].state_dict().items()}
    plain.blocks["a"].load_state_dict({name: own[name] for name in plain.blocks["a"].state_dict()})
    x = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    for one, other in zip(auto(x, "a"), plain(x, "a"), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(auto.inverse(auto(x, "a")[0], "a"), x)


def test_the_number_of_blocks_is_part_of_the_expert():
    model = trained(["a", "b"], AUTO)
    stored = [tensor for name, tensor in expert_state(model, "b").items() if name.endswith("active")]
    assert [int(tensor) for tensor in stored] == [active(model, "b")]


def test_the_best_candidate_comes_back_even_if_others_were_trained_after_it():
    model = learn(tiny_model(AUTO), [A], AUTO)
    model.begin_task(B, 0)
    judged, experts = iter([3.0, 1.0, 2.0, 1.0, 4.0]), {}

    def fit(log):
        with torch.no_grad():
            for parameter in model.dia.blocks["b"].parameters():
                parameter.add_(torch.randn_like(parameter))
        experts[active(model, "b")] = {name: tensor.clone() for name, tensor in expert_state(model, "b").items()}

    kept = keep_likeliest(model, model.dia, B, fit, lambda: next(judged))
    assert (kept.choice, kept.nll, active(model, "b")) == (3, 1.0, 3), "the smaller of equals"
    state = expert_state(model, "b")
    assert all(state[name].numpy().tobytes() == tensor.numpy().tobytes() for name, tensor in experts[3].items())
