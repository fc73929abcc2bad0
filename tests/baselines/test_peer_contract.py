"""Every name builds, fits, scores, saves, loads, scores the same; what wraps anomalib is skipped where it is absent."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.base import FEATURES, Peer
from moleflow.baselines.cards import CARDS
from moleflow.baselines.registry import PEERS, TRAINING, options_of
from moleflow.utils.errors import MoleflowError, UsageError

HERE = importlib.util.find_spec("anomalib") is not None
HEAVY = {"draem", "dinomaly", "efficientad"}
"""Seconds each, whatever they are given."""
OPTIONS: dict[str, dict[str, Any]] = {
    "patchcore": {"coreset_ratio": 0.1},
    "coreset_router": {"coreset_ratio": 0.1},
    "stfpm": {"random_backbone": True},
    "student_teacher": {"random_backbone": True},
    "dinomaly": {"random_encoder": True, "encoder_name": "vit_small_patch14_reg4_dinov2", "img_size": 28},
    "efficientad": {"random_teacher": True, "img_size": 256, "max_epochs": 1},
}


def marked(name: str) -> Any:
    """The name, skipped or slow where it must be."""
    marks = [pytest.mark.slow] if name in HEAVY or CARDS[name].wrapped else []
    if CARDS[name].wrapped:
        marks.append(pytest.mark.skipif(not HERE, reason="anomalib is absent: needs requirements-baselines.txt"))
    return pytest.param(name, marks=marks)


NAMES = [marked(name) for name in PEERS]
LIGHT = [marked(name) for name in PEERS if name not in {*HEAVY, "vgg_ae", "resnet_ae"}]
TRAINED = [param for param in LIGHT if set(TRAINING) <= set(options_of(str(param.values[0])))]


def made(name: str) -> Peer:
    """An unfitted peer for small data."""
    brief = {"max_epochs": 2, "batch_size": 4} if "max_epochs" in options_of(name) else {}
    return get_model(name, **{"img_size": 32, **brief, **OPTIONS.get(name, {})})


def data(peer: Peer, count: int, seed: int = 0) -> Tensor:
    """Features or images of things that look alike."""
    random = torch.Generator().manual_seed(seed)
    if peer.sees == FEATURES:
        return torch.randn(count, 8, 8, 6, generator=random)
    return 0.5 + 0.1 * torch.randn(count, 3, peer.img_size, peer.img_size, generator=random).clamp(-2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_scores_the_same(name: str, tmp_path: Path):
    peer = made(name)
    with pytest.raises(MoleflowError):
        peer.score(data(peer, 1))
    before = torch.random.get_rng_state()
    normal, others = data(peer, 6), data(peer, 3, seed=1)
    kept = normal.clone()
    peer.fit([normal[:4], normal[4:]])
    assert torch.equal(normal, kept)
    assert torch.equal(before, torch.random.get_rng_state())
    scores = peer.score(others)
    assert scores.images.shape == (3,)
    assert scores.maps.shape == (3, peer.img_size, peer.img_size)
    assert np.isfinite(scores.images).all()
    assert np.isfinite(scores.maps).all()
    assert len(set(scores.images.tolist())) == 3
    np.testing.assert_allclose(peer.score(others[1:2]).images, scores.images[1:2], rtol=1e-4, atol=1e-5)
    peer.save(tmp_path / "state.safetensors")
    twin = made(name)
    twin.load(tmp_path / "state.safetensors")
    again = twin.score(others)
    np.testing.assert_array_equal(again.images, scores.images)
    np.testing.assert_array_equal(again.maps, scores.maps)
    assert twin.bytes == peer.bytes > 0


@pytest.mark.parametrize("name", LIGHT)
def test_a_peer_is_the_same_each_time(name: str):
    found = []
    for _ in range(2):
        peer = made(name)
        torch.rand(3)
        peer.fit([data(peer, 6)])
        found.append(peer.score(data(peer, 2, seed=1)).maps)
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_loss(name: str):
    peer: Any = get_model(name, img_size=32, max_epochs=12, batch_size=4, **OPTIONS.get(name, {}))
    peer.fit([data(peer, 8)], [data(peer, 2, seed=1)])
    assert min(peer.course.losses[1:]) < peer.course.losses[0]


@pytest.mark.parametrize("name", ["gaussian_per_task", "coreset_router", "nearest_prototype", "spade", "differnet"])
def test_a_peer_finds_what_is_far_and_where(name: str):
    peer = made(name)
    peer.fit([data(peer, 40)])
    others = data(peer, 4, seed=1)
    others[2, :4, :4] += 6
    scores = peer.score(others)
    assert scores.images.argmax() == 2
    if name != "differnet":  # its map is a gradient, which need not be larger there
        assert scores.maps[2, :12, :12].mean() > 1.3 * scores.maps[2, 20:, 20:].mean()


def test_another_peers_file_is_refused_in_one_sentence(tmp_path: Path):
    peer = made("nearest_prototype")
    peer.fit([data(peer, 3)])
    peer.save(tmp_path / "state.safetensors")
    with pytest.raises(MoleflowError, match=r"state\.safetensors does not fit the peer VanillaAE"):
        made("vanilla_ae").load(tmp_path / "state.safetensors")


def test_teachers_are_never_random_without_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("moleflow.extractors.weights.download", lambda name: (None, "no network"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no weights found"):
        get_model("student_teacher", backbone="resnet18")


def test_every_peer_has_a_card_and_every_card_a_peer():
    assert set(CARDS) == set(PEERS)
    assert all(card.wrapped or card.ours for card in CARDS.values())
