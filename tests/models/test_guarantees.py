"""The continual guarantees, bit for bit: isolation, order independence, removal, ownership."""

from dataclasses import replace

import pytest
import torch
from fakes import GRID, SIZE, TINY, TRAINING, product_features, tiny_model, train_task, trained
from torch import Tensor

from moleflow.config.ablation import AblationConfig
from moleflow.config.task import Task
from moleflow.config.variants import (
    Dia,
    EuclideanRouter,
    Flow,
    Lora,
    NoAdapter,
    NoContext,
    NoDia,
    NoLora,
    PerTaskRouter,
    ScaleContextSubnet,
)
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, expert_state, load_expert, per_task_parts, trained_in
from moleflow.utils.errors import MoleflowError, UsageError

VARIANTS: dict[str, AblationConfig] = {
    "full method": TINY,
    "scale context": replace(TINY, subnet=ScaleContextSubnet(kernel=3)),
    "no dia": replace(TINY, dia=NoDia()),
    "no lora": replace(TINY, lora=NoLora()),
    "no lora in task 0": replace(TINY, lora=Lora(rank=4, alpha=4.0, in_task0=False)),
    "no adapter, no context": replace(TINY, adapter=NoAdapter(), context=NoContext()),
    "per-task router": replace(TINY, router=PerTaskRouter()),
    "euclidean router": replace(TINY, router=EuclideanRouter()),
    "dia of as many blocks as fit the task": replace(TINY, dia=Dia(blocks=None)),
}


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit-identical: NaN equals NaN."""
    return one.keys() == other.keys() and all(
        a.dtype == b.dtype and a.numpy().tobytes() == b.numpy().tobytes()
        for a, b in ((one[name].contiguous(), other[name].contiguous()) for name in one)
    )


def scores(model: MoLEFlow, task: str) -> Tensor:
    with torch.no_grad():
        found = model.score(product_features(task[0], 8, seed=9), [task] * 8)
        return torch.cat([found.images, found.patches.flatten()])


@pytest.mark.parametrize("name", VARIANTS)
def test_isolation_old_experts_base_and_scores_do_not_change_by_a_bit(name):
    model = trained(["a", "b"], VARIANTS[name])
    stored = {task: copied(expert_state(model, task)) for task in "ab"}
    base, before = copied(base_state(model)), {task: scores(model, task) for task in "ab"}
    train_task(model, Task(("c",), 2), VARIANTS[name])
    assert all(same(stored[task], expert_state(model, task)) for task in "ab")
    assert same(base, base_state(model))
    assert all(torch.equal(before[task], scores(model, task)) for task in "ab")
    assert not same(stored["b"], expert_state(model, "c")), "the new expert learned nothing of its own"


def test_a_base_that_always_learns_breaks_isolation():
    """The guarantee is the freeze policy's work, and this test can see it broken."""
    config = replace(TINY, flow=Flow(layers=2, base_policy="always"))
    model = trained(["a", "b"], config)
    base, before = copied(base_state(model)), scores(model, "a")
    train_task(model, Task(("c",), 2), config)
    assert not same(base, base_state(model))
    assert not torch.equal(before, scores(model, "a"))


@pytest.mark.parametrize("name", VARIANTS)
def test_order_of_later_tasks_does_not_change_a_bit(name):
    one, other = trained(["a", "b", "c+d"], VARIANTS[name]), trained(["a", "c+d", "b"], VARIANTS[name])
    assert all(same(expert_state(one, task), expert_state(other, task)) for task in ("a", "b", "c+d"))
    features = torch.cat([product_features(name, 6, seed=3) for name in "abcd"])
    assert one.router(features) == other.router(features)


def test_a_task_of_several_classes_does_not_depend_on_their_order():
    one, other = trained(["a", "c+d"]), trained(["a", "d+c"])
    assert same(expert_state(one, "c+d"), expert_state(other, "c+d"))


def test_a_task_trained_beside_a_loaded_base_equals_the_streams():
    """Parallel equals sequential: a second machine needs the base alone."""
    stream = trained(["a", "b", "c"])
    alone = trained(["a"])
    train_task(alone, Task(("c",), 2))
    assert same(expert_state(stream, "c"), expert_state(alone, "c"))


def test_removal_leaves_the_others_bytes_and_scores():
    model = trained(["a", "b", "c"])
    stored, before = copied(expert_state(model, "c")), scores(model, "c")
    model.remove_task("b")
    assert same(stored, expert_state(model, "c"))
    assert torch.equal(before, scores(model, "c"))
    assert set(model.router(product_features("b", 6))) <= {"a", "c"}
    with pytest.raises(UsageError, match="No expert is called 'b'; there are: a, c"):
        scores(model, "b")


def test_same_seed_same_bytes_other_seed_other_bytes():
    one, other = trained(["a", "b"]), trained(["a", "b"])
    assert same(expert_state(one, "b"), expert_state(other, "b"))
    assert same(base_state(one), base_state(other))
    reseeded = trained(["a", "b"], training=replace(TRAINING, seed=1))
    assert not same(expert_state(one, "b"), expert_state(reseeded, "b"))


def test_experts_differ_from_each_other_and_change_scores():
    model = trained(["a", "b"])
    with torch.no_grad():
        features = product_features("a", 4)
        assert not torch.allclose(model.score(features, ["a"] * 4).images, model.score(features, ["b"] * 4).images)


def test_an_expert_is_rounded_to_its_storage_type_and_statistics_are_not():
    model = trained(["a", "b"])
    for name, tensor in expert_state(model, "b").items():
        if tensor.dtype == torch.float32:
            assert torch.equal(tensor, tensor.half().float()), name
        else:
            assert tensor.dtype == torch.float64, name
    exact = trained(["a", "b"], training=replace(TRAINING, expert_dtype="float32"))
    assert any(
        not torch.equal(tensor, tensor.half().float())
        for tensor in expert_state(exact, "b").values()
        if tensor.dtype == torch.float32
    )


def test_an_expert_moves_to_another_model_with_the_same_base():
    source, target = trained(["a", "b"]), trained(["a"])
    target.begin_task(Task(("b",), 1), seed=99)
    load_expert(target, "b", expert_state(source, "b"))
    assert torch.equal(scores(source, "b"), scores(target, "b"))
    assert source.threshold("b") == target.threshold("b")


def test_an_expert_of_another_model_is_refused_in_one_sentence():
    other = trained(["a"], replace(TINY, lora=Lora(rank=2)))
    model = trained(["a"])
    with pytest.raises(MoleflowError, match="expert of 'a' does not fit this model") as caught:
        load_expert(model, "a", expert_state(other, "a"))
    assert "\n" not in str(caught.value)


def test_nothing_learns_and_everything_evaluates_after_a_task():
    model = trained(["a", "b"])
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())


def test_every_parameter_has_one_owner():
    model = trained(["a", "b"])
    first = {id(p) for p in trained_in(model, Task(("a",), 0))}
    second = {id(p) for p in trained_in(model, Task(("b",), 1))}
    backbone = {id(p) for p in model.extractor.parameters()}
    assert not first & second
    assert {id(p) for p in model.parameters()} == first | second | backbone
    assert not backbone & (first | second)


def test_task_names_of_any_spelling_keep_their_experts_apart():
    names = ["weird.name", "weird/name", "train", "copies", "ünïcode 1", "a%2Eb", "a.b"]
    model = tiny_model()
    for index, name in enumerate(names):
        model.begin_task(Task((name,), index), seed=0)
    for _, part in per_task_parts(model):
        assert len({id(part[name]) for name in names}) == len(names)
    assert all("." not in key for _, part in per_task_parts(model) for key in part.copies)


def images(batch: int, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_mixed_batch_is_grouped_scored_and_put_back_in_order():
    model = trained(["a", "b"])
    tasks = ["b", "a", "a", "b", "a"]
    mixed = model.predict(images(5), tasks)
    assert mixed.tasks == tasks
    assert mixed.maps.shape == (5, SIZE, SIZE)
    for index, task in enumerate(tasks):
        alone = model.predict(images(5)[index : index + 1], [task])
        torch.testing.assert_close(mixed.scores[index], alone.scores[0], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(mixed.maps[index], alone.maps[0], rtol=1e-5, atol=1e-4)
        assert mixed.thresholds[index] == model.threshold(task)


def test_prediction_runs_the_backbone_once_an_image_and_routes_itself():
    model = trained(["a", "b"])
    model.extractor.calls = 0
    prediction = model.predict(images(7))
    assert model.extractor.calls == 7
    assert prediction.tasks == model.router(model.extractor(images(7)))


def test_forward_is_the_data_path_from_the_image():
    model = trained(["a"])
    latent = model(images(3), "a")
    assert latent.z.shape == (3, GRID, GRID, 6)
    assert torch.equal(latent.nll, model.likelihood(model.extractor(images(3)), "a").nll)


def test_training_lowers_the_loss_and_an_expert_knows_its_own_product_best():
    training = replace(TRAINING, num_steps=120, batch_size=8)
    model, untrained = trained(["a", "b"], training=training), tiny_model()
    untrained.begin_task(Task(("b",), 1), 0)
    with torch.no_grad():
        unseen = product_features("b", 8, seed=5)
        own, other = (model.score(unseen, [task] * 8).patches.mean() for task in "ba")
        before = untrained.score(unseen, ["b"] * 8).patches.mean()
    assert own < before - 0.5
    assert own < other - 0.5
