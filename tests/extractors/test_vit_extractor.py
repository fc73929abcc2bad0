"""E2: which tokens, at which size, and what cannot be built."""

import pytest
import timm
import torch

from moleflow.extractors.vit_extractor import VitExtractor
from moleflow.utils.errors import UsageError

TINY = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def build(random_weights):
    def build(backbone=TINY, blocks=(2, 3), combine="mean", embed_dim=768, img_size=224, feature_grid=None):
        weights = random_weights(backbone)
        return VitExtractor(backbone, blocks, combine, embed_dim, img_size, feature_grid, weights)

    return build


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_tokens_are_those_of_the_whole_network(build, images, random_weights):
    whole = timm.create_model(TINY).eval()
    whole.load_state_dict(random_weights(TINY).state)
    seen = []
    for block in (2, 3):
        whole.blocks[block].register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        whole((images - 0.5) / 0.5)
    tokens = [output[:, 1:].unflatten(1, (14, 14)) for output in seen]  # the first one is the class token
    torch.testing.assert_close(build()(images), torch.stack(tokens).mean(0), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(build(combine="concat")(images), torch.cat(tokens, -1), rtol=1e-3, atol=1e-3)


def test_only_the_blocks_up_to_the_deepest_are_built(build):
    assert len(build().network.blocks) == 4


def test_the_order_of_blocks_does_not_matter(build):
    assert build(blocks=(3, 2)).fingerprint == build(blocks=(2, 3)).fingerprint


@pytest.mark.parametrize(
    ("backbone", "size", "grid"),
    [(TINY, 96, 6), ("vit_small_patch14_reg4_dinov2", 56, 4), ("vit_small_patch16_dinov3", 64, 4)],
)
def test_other_sizes_and_families(build, backbone, size, grid):
    extractor = build(backbone, blocks=(0,), img_size=size)
    assert extractor.grid == (grid, grid)
    assert extractor(torch.rand(1, 3, size, size)).shape == (1, grid, grid, extractor.dim)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_size": 225}, "multiple of 16.*found 225: use 224 or 240"),
        ({"img_size": 8}, "use 16"),
        ({"blocks": (12,)}, "from 0 to 11.*found 12"),
        ({"blocks": (-1,)}, "from 0 to 11"),
        ({"blocks": (1, 1)}, "different blocks"),
        ({"blocks": ()}, "found none"),
        ({"combine": "max"}, "mean, concat, found 'max'"),
        ({"backbone": "resnet18"}, "no vision transformer"),
    ],
)
def test_what_cannot_be_built_is_explained(build, change, message):
    with pytest.raises(UsageError, match=message):
        build(**change)
