"""I2: the spatial transformer starts as the identity, turns by what it predicts, and learns through the backbone."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import SIZE, TINY, TRAINING, PixelExtractor, tiny_model
from PIL import Image
from torch import Tensor

from moleflow.config.task import Task
from moleflow.config.variants import AsIs, Flow, RandomRotation, SpatialTransformer
from moleflow.data.sample import Sample
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.live import LiveStore
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.build import build_loss
from moleflow.models.build.image import build_warp
from moleflow.models.stages import NoImageMapping
from moleflow.models.task import base_state, expert_state, trained_in
from moleflow.models.warp.spatial_transformer import AffineHead, RotationHead
from moleflow.trainer.continual_trainer import ContinualTrainer

MODES = ("rotation", "affine")
FIRST, SECOND = Task(("a",), 0), Task(("b",), 1)


def config(mode: str = "rotation", **more):
    return replace(TINY, image=SpatialTransformer(mode, hidden_dim=8, reg_weight=0.5), **more)


def transformer(mode: str = "rotation", **more):
    torch.manual_seed(0)
    return build_warp(config(mode, **more))


def images(count: int = 4, size: int = SIZE) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def say(warp, *raw: float) -> None:
    """Let the predictor give these numbers for every image."""
    with torch.no_grad():
        warp.predictor[-1].bias.copy_(torch.tensor(raw))


def test_only_the_transformer_warps():
    for absent in (AsIs(), RandomRotation()):
        assert isinstance(build_warp(replace(TINY, image=absent)), NoImageMapping)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [SIZE, 96])
def test_it_starts_as_the_identity_for_any_image(mode, size):
    warp = transformer(mode)
    torch.testing.assert_close(warp(images(size=size)), images(size=size), rtol=0, atol=1e-5)
    assert warp.penalty(FIRST) == 0


def test_a_predicted_quarter_turn_is_one():
    warp = transformer()
    say(warp, math.atanh(0.5))  # π·tanh = π/2
    torch.testing.assert_close(warp(images()), torch.rot90(images(), 1, dims=(2, 3)), rtol=0, atol=1e-5)


def test_the_border_is_repeated_where_the_warp_leaves_the_image():
    warp = transformer()
    say(warp, 0.2)
    torch.testing.assert_close(warp(torch.full((1, 3, 16, 16), 0.7)), torch.full((1, 3, 16, 16), 0.7))


def test_an_affine_prediction_shifts_and_stretches():
    warp = transformer("affine")
    say(warp, 0, 0, math.atanh(0.25), 0, 0, 0)  # x is read 0.125 of a half side further right: one pixel of 16
    shifted = warp(images())
    torch.testing.assert_close(shifted[..., :-1], images()[..., 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(shifted[..., -1], images()[..., -1], rtol=0, atol=1e-5)


def test_no_affine_prediction_collapses_or_mirrors():
    raw = 50 * torch.randn(1000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).sign()
    raw[500:] = raw[500:] / 100
    assert torch.linalg.det(AffineHead().matrices(raw)[:, :, :2]).min() >= 0


def test_sizes_are_squared_angles_and_squared_distances_from_the_identity():
    torch.testing.assert_close(RotationHead().size(torch.tensor([[math.atanh(0.5)]])), torch.tensor([math.pi**2 / 4]))
    raw = torch.tensor([[0.0, math.atanh(0.5), 0.0, 0.0, 0.0, math.atanh(0.25)]])
    torch.testing.assert_close(AffineHead().size(raw), torch.tensor([0.25**2 + 0.125**2]))


def test_the_penalty_is_the_last_batchs_while_it_learns():
    warp = transformer()
    say(warp, math.atanh(0.5))
    warp(images())
    expected = torch.tensor(0.5 * math.pi**2 / 4)
    for _ in range(2):  # asked twice, it says the same
        penalty = warp.penalty(FIRST)
        torch.testing.assert_close(penalty, expected)
        penalty.backward()
    assert warp.predictor[-1].bias.grad > 0
    assert warp.penalty(SECOND) == 0
    with torch.no_grad():
        warp.predictor[-1].weight.add_(0.3 * torch.randn(1, 8, generator=torch.Generator().manual_seed(0)))
        before = warp.penalty(FIRST)
        warp(images(9))
        assert warp.penalty(FIRST) == before, "an evaluation's batch counts for nothing"
    warp(images(9).flip(1))
    assert warp.penalty(FIRST) != before


@pytest.mark.parametrize(("policy", "learns"), [("first", (True, False)), ("always", (True, True))])
def test_the_freeze_policy_decides_when_it_learns(policy, learns):
    warp = transformer(flow=Flow(layers=2, base_policy=policy))
    assert (warp.trains_shared(FIRST), warp.trains_shared(SECOND)) == learns


def test_gradients_pass_the_backbone_and_leave_it_alone():
    model = tiny_model(config())
    assert not model.features(images()).requires_grad
    for parameter in model.warp.parameters():
        parameter.requires_grad_(True)
    model.features(images()).square().mean().backward()
    assert model.warp.predictor[-1].weight.grad.abs().sum() > 0
    assert model.extractor.weight.grad is None


def test_it_belongs_to_the_base_and_to_no_expert():
    model = tiny_model(config())
    model.begin_task(FIRST, 0)
    names = {f"warp.{name}" for name in model.warp.state_dict()}
    assert names
    assert names <= set(base_state(model))
    assert not any("predictor" in name for name in expert_state(model, "a"))
    mine = {id(parameter) for parameter in model.warp.parameters()}
    assert mine <= {id(parameter) for parameter in trained_in(model, FIRST)}


@pytest.fixture
def samples(tmp_path) -> list[Sample]:
    found = []
    for number, pixels in enumerate((255 * images(6, 20)).byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(np.sort(pixels, axis=0)).save(tmp_path / f"{number}.png")  # dark above, bright below
        found.append(Sample(tmp_path / f"{number}.png", "a", 0, "good", None))
    return found


def test_a_live_store_gives_the_models_features_and_keeps_nothing(samples, tmp_path):
    model = tiny_model(config())
    store = LiveStore(model.features, model.extractor, "squash")
    with torch.no_grad():
        torch.testing.assert_close(
            store.features(samples),
            FeatureStore(PixelExtractor(), "squash", None).features(samples),
            rtol=1e-3,
            atol=1e-3,
        )
        say(model.warp, math.atanh(0.5))
        turned = store.features(samples)
    torch.testing.assert_close(store.features(samples), turned)  # where gradients are recorded: the same values
    assert (turned - FeatureStore(PixelExtractor(), "squash", None).features(samples)).abs().max() > 0.1
    assert len(list(tmp_path.rglob("*"))) == len(samples)


def test_gradients_are_recorded_only_where_they_were_asked_for(samples):
    """Also by threads, which do not inherit torch's gradient mode."""
    model = tiny_model(config())
    for parameter in model.warp.parameters():
        parameter.requires_grad_(True)
    store = LiveStore(model.features, model.extractor, "squash")
    features = TaskFeatures(store, samples, ("a",), torch.device("cpu"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert features.take([0, 1]).requires_grad
        assert not any(batch.features.requires_grad for batch in features.batches())
    finally:
        torch.set_num_threads(before)
    assert torch.is_grad_enabled()


def learned(samples: list[Sample], tasks: tuple[Task, ...], mode: str = "rotation"):
    """A model trained on tasks that show the same images, and the transformer's state after each task."""
    model = tiny_model(config(mode))
    store = LiveStore(model.features, model.extractor, "squash")
    trainer = ContinualTrainer(model, build_loss(config(mode)), TRAINING, lambda *_: None)
    states = []
    for task in tasks:
        named = [replace(sample, class_name=task.name) for sample in samples]
        normal = TaskFeatures(store, named[:4], task.classes, torch.device("cpu"))
        trainer.train(task, normal, TaskFeatures(store, named[4:], task.classes, torch.device("cpu")))
        states.append({name: value.clone() for name, value in model.warp.state_dict().items()})
    return model, states


@pytest.mark.parametrize("mode", MODES)
def test_it_learns_in_the_first_task_and_never_again(samples, mode):
    model, (first, second) = learned(samples, (FIRST, SECOND), mode)
    start = tiny_model(config(mode)).warp.state_dict()
    assert all(not torch.equal(first[name], value) for name, value in start.items())
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_trained_model_can_be_copied(samples):
    model, _ = learned(samples, (FIRST,))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(twin.features(images()), model.features(images()))
