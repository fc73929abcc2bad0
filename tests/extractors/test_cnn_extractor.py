"""E1: layers by stride, pooling, grids, and what cannot be built."""

import pytest
import timm
import torch
import torch.nn.functional as F

from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.pooling import BY_ROOT, BY_WIDTH, LEFT_OUT, ZEROS, joined, root_shares, smoothed, to_grid
from moleflow.extractors.weights import load_exactly
from moleflow.utils.errors import UsageError


@pytest.fixture(scope="module")
def build(random_weights):
    def build(backbone="resnet18", layers=("layer2", "layer3"), embed_dim=768, img_size=64, feature_grid=None):
        return CnnExtractor(backbone, layers, embed_dim, img_size, feature_grid, random_weights(backbone))

    return build


def test_layers_mean_strides_for_every_cnn(build):
    by_layer = build("tf_efficientnet_lite0", ("layer1", "layer2", "layer3"))
    by_stride = build("tf_efficientnet_lite0", ("stride4", "stride8", "stride16"))
    assert by_layer.network.feature_info.reduction() == [4, 8, 16]
    assert by_layer.network.feature_info.channels() == [24, 40, 112]
    assert by_layer.fingerprint == by_stride.fingerprint


def test_the_order_of_layers_does_not_matter(build):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    forward, backward = build(layers=("layer2", "layer3")), build(layers=("layer3", "layer2"))
    assert forward.fingerprint == backward.fingerprint
    assert torch.equal(forward(images), backward(images))


def test_only_the_network_up_to_the_deepest_layer_is_built(build):
    names = {name.split(".")[0] for name in build(layers=("layer1", "layer2")).network.state_dict()}
    assert "layer2" in names
    assert not names & {"layer3", "layer4", "fc"}


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "mobilenetv3_small_100"])
def test_no_block_after_the_deepest_layer_is_built(build, random_weights, backbone):
    network = build(backbone, ("layer1", "layer2")).network
    whole = timm.create_model(backbone, features_only=True, out_indices=network.feature_info.out_indices).eval()
    load_exactly(whole, random_weights(backbone))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = (net.to(memory_format=torch.channels_last)(images) for net in (whole, network))
    assert len(network.blocks) < len(whole.blocks)
    assert all(torch.equal(*maps) for maps in zip(expected, found, strict=True))


def test_features_are_the_stages_pooled_as_documented(build):
    extractor = build(embed_dim=100)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stages = extractor.network((images - extractor.mean) / extractor.std)
    pooled = [
        F.avg_pool2d(F.pad(s, (1, 1, 1, 1)), 3, 1) / F.avg_pool2d(F.pad(torch.ones_like(s), (1, 1, 1, 1)), 3, 1)
        for s in stages
    ]
    on_grid = torch.cat([F.avg_pool2d(pooled[0], 2), pooled[1]], dim=1)  # strides 8 and 16 on a grid of stride 16
    start = [i * 384 // 100 for i in range(100)]
    stop = [-(-(i + 1) * 384 // 100) for i in range(100)]
    expected = torch.stack([on_grid[:, a:b].mean(1) for a, b in zip(start, stop, strict=True)], dim=-1)
    torch.testing.assert_close(extractor(images), expected, rtol=1e-3, atol=1e-4)


def test_the_border_is_no_darker_than_the_middle():
    assert torch.equal(smoothed(torch.ones(1, 2, 5, 5)), torch.ones(1, 2, 5, 5))


def test_zeros_beyond_the_frame_are_what_patchcore_pools(random_weights):
    """On a stage's own grid they scale a cell by how many of its nine neighbours there are."""
    weights = random_weights("resnet18")
    plain, zeros = (CnnExtractor("resnet18", ("layer3",), 768, 64, 4, weights, frame) for frame in (LEFT_OUT, ZEROS))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    there = F.conv2d(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3), padding=1)[0, 0, :, :, None]
    torch.testing.assert_close(zeros(images), plain(images) * there / 9, rtol=2e-3, atol=1e-3)
    assert zeros.fingerprint != plain.fingerprint


def test_grids_keep_means_and_linear_ramps():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    assert torch.equal(to_grid(ramp, 4)[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
    finer = to_grid(ramp, 16)[0, 0, 0]
    torch.testing.assert_close(finer[1:-1].diff(), torch.full((13,), 0.5))
    assert joined([ramp, ramp], 8, 2).shape == (1, 8, 8, 2)


def test_by_root_each_stage_is_pooled_to_its_own_share(random_weights):
    weights = random_weights("resnet18")
    by_width, by_root = (
        CnnExtractor("resnet18", ("layer2", "layer3"), 24, 64, 4, weights, LEFT_OUT, shares)
        for shares in (BY_WIDTH, BY_ROOT)
    )
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    stages = [to_grid(smoothed(maps), 4).permute(0, 2, 3, 1) for maps in by_root.network(by_root._normalized(images))]
    expected = [F.adaptive_avg_pool1d(maps.flatten(1, 2), count) for maps, count in zip(stages, (10, 14), strict=True)]
    torch.testing.assert_close(by_root(images).flatten(1, 2).float(), torch.cat(expected, -1), rtol=2e-3, atol=1e-3)
    assert by_root.fingerprint != by_width.fingerprint


def test_no_stage_has_a_larger_share_than_channels():
    assert root_shares([256, 512, 1024], 384) == [87, 123, 174]
    assert root_shares([1024, 4, 64], 200) == [157, 4, 39]
    assert sum(root_shares([24, 40, 112], 175)) == 175


def test_channels_are_never_widened(build):
    assert build(embed_dim=10_000).dim == 128 + 256
    assert build(embed_dim=7).dim == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ("layer9",)}, r"layer1 \(stride4\).*layer4 \(stride32\).*found layer9"),
        ({"layers": ("conv1", "layer2")}, "found conv1"),
        ({"layers": ("layer2", "stride8")}, "expected different layers"),
        ({"layers": ()}, "found none"),
        ({"embed_dim": 0}, "embed_dim of at least 1, found 0"),
        ({"feature_grid": 65}, "grid of 1 to 64"),
        ({"feature_grid": 0}, "grid of 1 to 64"),
        ({"backbone": "resnet_18"}, "did you mean 'resnet18'"),
        ({"backbone": "resnet18.nope"}, r"resnet18\.tv_in1k"),
        ({"backbone": "test_vit"}, "which has layer3"),
        ({"backbone": "swin_tiny_patch4_window7_224"}, "expected a CNN"),
    ],
)
def test_what_cannot_be_built_is_explained(build, change, message):
    with pytest.raises(UsageError, match=message):
        build(**change)


def test_building_leaves_the_global_generator_alone(build):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build()
    assert torch.equal(torch.rand(4), expected)
