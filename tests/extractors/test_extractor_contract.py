"""What every extractor promises, one loop over all kinds."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from moleflow.extractors.base import Extractor, Normalization
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.vit_extractor import VitExtractor
from moleflow.extractors.weights import Weights
from moleflow.utils.errors import UsageError

LITE0 = "tf_efficientnet_lite0"
TINY_VIT = "vit_tiny_patch16_224"
Built = tuple[Extractor, tuple[int, int, int]]

# name -> class, backbone, its arguments, and the (dim, grid, stride) that it must have
EXTRACTORS: dict[str, tuple[Any, ...]] = {
    "cnn": (CnnExtractor, "resnet18", ("layer2", "layer3"), 768, 64, None, (128 + 256, 4, 16)),
    "three stages": (CnnExtractor, "resnet18", ("layer1", "layer2", "layer3"), 100, 64, 8, (100, 8, 8)),
    "finer grid": (CnnExtractor, "resnet18", ("layer3",), 768, 96, 28, (256, 28, 3)),
    "lite0": (CnnExtractor, LITE0, ("layer2", "layer3"), 768, 64, None, (40 + 112, 4, 16)),
    "lite0 with stride 4": (CnnExtractor, LITE0, ("layer1", "stride8", "layer3"), 768, 64, None, (176, 4, 16)),
    "resnet50_v1": (CnnExtractor, "resnet50_v1", ("layer2",), 512, 64, None, (512, 4, 16)),
    "names flattened by timm": (CnnExtractor, "convnext_atto", ("layer1", "layer2"), 64, 64, None, (64, 4, 16)),
    "names wrapped by timm": (CnnExtractor, "legacy_xception", ("layer1",), 64, 64, None, (64, 4, 16)),
    "vit": (VitExtractor, TINY_VIT, (8, 9, 10, 11), "mean", 768, 64, None, (192, 4, 16)),
    "vit concatenated": (VitExtractor, TINY_VIT, (0, 5), "concat", 300, 80, 10, (300, 10, 8)),
}


@pytest.fixture(scope="module", params=EXTRACTORS)
def built(request: pytest.FixtureRequest, random_weights: Callable[[str], Weights]) -> Built:
    return build(request.param, random_weights), EXTRACTORS[request.param][-1]


def build(name: str, random_weights: Callable[[str], Weights]) -> Extractor:
    kind, backbone, *arguments, _ = EXTRACTORS[name]
    return kind(backbone, *arguments, random_weights(backbone))


def images(extractor: Extractor, number: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(number, 3, extractor.img_size, extractor.img_size, generator=generator)


def test_declares_what_it_returns(built):
    extractor, (dim, grid, stride) = built
    assert (extractor.dim, extractor.grid, extractor.stride) == (dim, (grid, grid), stride)
    features = extractor(images(extractor))
    assert features.shape == (2, grid, grid, dim)
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    assert features.std() > 0


def test_is_frozen(built):
    extractor, _ = built
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    before = {name: tensor.clone() for name, tensor in extractor.state_dict().items()}
    extractor.train()
    assert not any(module.training for module in extractor.modules())
    first, second = (extractor(images(extractor)) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in extractor.state_dict().items())


def test_features_are_what_fp16_can_hold(built):
    features = built[0](images(built[0]))
    assert torch.equal(features.half().float(), features)


def test_gradients_pass_to_the_images_and_change_no_value(built):
    extractor, _ = built
    inputs = images(extractor).requires_grad_()
    features = extractor(inputs)
    assert torch.equal(features, extractor(inputs.detach()))
    features.square().mean().backward()
    assert inputs.grad is not None
    assert torch.isfinite(inputs.grad).all()
    assert inputs.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in extractor.parameters())


def test_images_do_not_mix(built):
    extractor, _ = built
    batch = images(extractor, 3)
    changed = batch.clone()
    changed[1] = 0.5
    before, after = extractor(batch), extractor(changed)
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_cells_lie_where_their_pixels_lie(built):
    """A change in the top left corner moves that cell most, and not the transpose of something else."""
    extractor, (_, grid, _) = built
    plain = torch.full((1, 3, extractor.img_size, extractor.img_size), 0.5)
    spotted = plain.clone()
    patch = extractor.img_size // 4
    spotted[:, :, :patch, -patch:] = 1.0  # top right
    change = (extractor(spotted) - extractor(plain)).square().sum(-1)[0]
    row, column = divmod(int(change.argmax()), grid)
    assert row < grid / 2 <= column


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 64, 64), (1, 3, 64, 32), (1, 3, 65, 65)])
def test_another_image_size_is_refused(built, shape):
    with pytest.raises(UsageError, match=r"expects images of shape \(batch, 3, .* found"):
        built[0](torch.zeros(shape))


def test_fingerprints_differ(random_weights):
    prints = {build(name, random_weights).fingerprint for name in EXTRACTORS}
    assert len(prints) == len(EXTRACTORS)
    assert all(len(fingerprint) == 64 for fingerprint in prints)


def test_fingerprint_follows_everything_that_changes_features():
    class Plain(Extractor):
        def _features(self, images: torch.Tensor) -> torch.Tensor:
            return images

    base = {
        "img_size": 64,
        "grid": 4,
        "dim": 8,
        "normalization": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "recipe": {"weights": "a"},
    }
    changes = {
        "img_size": 32,
        "grid": 8,
        "dim": 4,
        "normalization": Normalization((0.5, 0.5, 0.4), (0.5, 0.5, 0.5)),
        "recipe": {"weights": "b"},
    }
    assert Plain(**base).fingerprint == Plain(**base).fingerprint
    prints = {Plain(**{**base, name: value}).fingerprint for name, value in changes.items()}
    assert len(prints | {Plain(**base).fingerprint}) == len(changes) + 1
