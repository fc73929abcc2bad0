"""F12, a base from before the stream: trained on images of no product, or taken from a file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import SIZE, TINY, TRAINING, PixelExtractor, tiny_model
from PIL import Image
from textures import Textures, learn, stream

from moleflow.config.variants import Flow, Lora
from moleflow.data.images import BadImage
from moleflow.extractors.cache import FeatureStore
from moleflow.losses.build import build_loss
from moleflow.models.task import base_state, expert_state, trained_in
from moleflow.trainer.continual_trainer import BASE_TASK, ContinualTrainer
from moleflow.trainer.opening import open_run
from moleflow.trainer.pretraining import base_features, holds_base, images_below, take_base
from moleflow.utils.errors import UsageError

A, B = stream("ab")
PRETRAINED = replace(TINY, flow=Flow(layers=2, base_policy="pretrained"))


def copied(state):
    return {name: tensor.clone() for name, tensor in state.items()}


def same(one, other):
    return all(one[name].numpy().tobytes() == other[name].numpy().tobytes() for name in one)


def pretrained(seed: int = 0):
    model = tiny_model(PRETRAINED)
    training = replace(TRAINING, seed=seed)
    ContinualTrainer(model, build_loss(PRETRAINED), training, lambda *_: None).pretrain(Textures("z"))
    return model


@pytest.fixture
def pictures(tmp_path):
    """Five images in nested folders, and what is none."""
    folder = tmp_path / "pictures"
    for index, name in enumerate(["b.png", "a.JPG", "deep/er/c.png", "deep/d.png", ".hidden/e.png", ".f.png"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_pretraining_moves_every_shared_weight_and_leaves_no_expert():
    start, model = base_state(tiny_model(PRETRAINED)), pretrained()
    moved = {name for name, tensor in base_state(model).items() if not torch.equal(tensor, start[name])}
    assert moved == set(start)
    assert model.tasks == {}
    assert not [name for name in model.state_dict() if "task:" in name]
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert same(base_state(model), base_state(pretrained()))
    assert not same(base_state(model), base_state(pretrained(seed=1)))


def test_then_no_task_moves_it_the_first_neither():
    model = pretrained()
    base = copied(base_state(model))
    learn(model, [A, B], PRETRAINED)
    assert same(base, base_state(model))
    assert not {id(p) for p in trained_in(model, A)} & {id(p) for p in trained_in(model, B)}
    assert model.router(Textures("a").features[:2]) != [BASE_TASK.name] * 2


def test_every_task_can_be_trained_beside_the_base_alone():
    stream_, alone = learn(pretrained(), [A, B], PRETRAINED), learn(pretrained(), [B], PRETRAINED)
    assert same(expert_state(stream_, "b"), expert_state(alone, "b"))


def test_images_are_found_at_any_depth_in_a_fixed_order(pictures):
    found = [sample.path.relative_to(pictures).as_posix() for sample in images_below(pictures)]
    assert found == sorted(found)
    assert set(found) == {"b.png", "a.JPG", "deep/er/c.png", "deep/d.png"}


def test_a_bad_image_stops_or_is_left_out(pictures):
    (pictures / "broken.png").write_bytes(b"no image")
    store = FeatureStore(PixelExtractor(), "squash", None)
    with pytest.raises(BadImage, match=r"broken\.png"):
        base_features(pictures, store, "error", torch.device("cpu"))
    normal, bad = base_features(pictures, store, "skip", torch.device("cpu"))
    assert len(normal) == 4
    assert [image.path.name for image in bad] == ["broken.png"]
    assert normal.take([0]).shape == (1, SIZE // 4, SIZE // 4, 6)
    for file in pictures.rglob("*.*"):
        if file.is_file() and file.suffix.lower() in (".png", ".jpg"):
            file.write_bytes(b"no image")
    with pytest.raises(UsageError, match="can be read"):
        base_features(pictures, store, "skip", torch.device("cpu"))


@pytest.fixture
def other_run(tmp_path):
    """The folder of a run of two tasks, and its model."""
    model, folder = learn(tiny_model(), [A, B]), open_run(tmp_path / "other", {"flags": {}}, False, False)
    folder.save_task(model, A, torch.float16, 0)
    return model, folder.path


@pytest.mark.parametrize("which", [".", "base.safetensors"])
def test_a_base_is_taken_from_a_run_or_from_a_file(other_run, which):
    source, path = other_run
    assert holds_base(path / which)
    model = tiny_model(PRETRAINED, seed=5)
    take_base(model, path / which)
    assert same(base_state(source), base_state(model))


def test_a_base_of_another_model_is_refused_in_one_sentence(other_run):
    _, path = other_run
    deeper = tiny_model(replace(PRETRAINED, flow=Flow(layers=3, base_policy="pretrained"), lora=Lora(rank=4)))
    before = copied(base_state(deeper))
    for which in (path, path / "base.safetensors"):
        with pytest.raises(UsageError, match=r"--base_from cannot be used: .*does not fit this model") as caught:
            take_base(deeper, which)
        assert "\n" not in str(caught.value)
    assert same(before, base_state(deeper))


def test_a_damaged_or_missing_base_is_named(other_run, tmp_path):
    _, path = other_run
    (path / "base.safetensors").write_bytes(b"damaged")
    for which in (path, path / "base.safetensors"):
        with pytest.raises(UsageError, match=r"base\.safetensors"):
            take_base(tiny_model(PRETRAINED), which)
    with pytest.raises(UsageError, match="does not exist"):
        take_base(tiny_model(PRETRAINED), tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds neither a base\.safetensors nor an image"):
        take_base(tiny_model(PRETRAINED), tmp_path / "empty")
    unfinished = open_run(tmp_path / "new", {"flags": {}}, False, False).path
    (unfinished / "stream.json").write_text('{"schema": 1, "base": null, "tasks": []}')
    with pytest.raises(UsageError, match="has not trained its base yet"):
        take_base(tiny_model(PRETRAINED), Path(unfinished))
