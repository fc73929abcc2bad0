"""Image scores, pixel maps, thresholds."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, trained
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from moleflow.config import variants as v
from moleflow.config.knobs import variants_of
from moleflow.config.resolve import slots
from moleflow.config.task import Task
from moleflow.models.build.scoring import build_aggregation
from moleflow.models.scoring.adaptive import Adaptive
from moleflow.models.scoring.aggregation import Aggregation, Max, Mean, Percentile, TopK, TopKPercent
from moleflow.models.scoring.border import BorderRamp, ramp
from moleflow.models.scoring.reference import ScoreReference
from moleflow.models.scoring.smoothing import PixelMap, gaussian_blur
from moleflow.models.scoring.spatial_cluster import SpatialCluster, opened
from moleflow.models.task import begin_task

A = Task(("a",), 0)
AGGREGATIONS = variants_of(slots()["aggregation"])
SCORES = torch.tensor([[[1.0, 5.0], [3.0, 7.0]], [[0.0, 0.0], [0.0, 8.0]]])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (TopK(1), [7.0, 8.0]),
        (TopK(3), [5.0, 8 / 3]),
        (TopK(99), [4.0, 2.0]),
        (TopKPercent(50), [6.0, 4.0]),
        (TopKPercent(0.1), [7.0, 8.0]),
        (Percentile(0.5), [4.0, 0.0]),
        (Max(), [7.0, 8.0]),
        (Mean(), [4.0, 2.0]),
    ],
)
def test_aggregations_by_hand(aggregation, expected):
    torch.testing.assert_close(aggregation(SCORES, "a"), torch.tensor(expected))


def built(variant: type, shape: tuple[int, int, int] = (8, 8, 2)) -> Aggregation:
    """The aggregation of a variant, with one task."""
    aggregation = build_aggregation(replace(TINY, aggregation=variant()), shape)
    begin_task(aggregation, A, 0)
    return aggregation


@pytest.mark.parametrize("variant", AGGREGATIONS)
def test_image_scores_follow_shift_and_scale_and_stay_near_the_patches(variant):
    """Patch scores are likelihoods, often negative: only differences mean anything."""
    scores = torch.randn(5, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    aggregation = built(variant)
    images = aggregation(scores, "a")
    assert images.shape == (5,)
    torch.testing.assert_close(aggregation(3 * scores - 100, "a"), 3 * images - 100)
    torch.testing.assert_close(aggregation(scores.flip(0), "a"), images.flip(0))
    raised = scores.clone()
    raised[:, 2:5, 2:5] += 20
    assert (aggregation(raised, "a") > images).all() or variant is v.Percentile


def test_aggregations_differ():
    scores = torch.randn(5, 10, 10, generator=torch.Generator().manual_seed(0))
    scores[:, 2:5, 2:5] += 3
    images = [tuple(built(variant, (10, 10, 2))(scores, "a").tolist()) for variant in AGGREGATIONS]
    assert len(set(images)) == len(AGGREGATIONS)


@pytest.mark.parametrize("variant", AGGREGATIONS)
def test_every_aggregation_scores_a_trained_model(variant):
    plain = replace(TINY, adapter=v.NoAdapter())
    model, default = trained(["a"], replace(plain, aggregation=variant())), trained(["a"], plain)
    features = product_features("a", 6)
    features[:, 2:, 2:] += 30  # a blob, which SpatialCluster asks for
    with torch.no_grad():
        found, usual = model.score_as(features, "a"), default.score_as(features, "a")
    assert torch.equal(found.patches, usual.patches)
    assert torch.isfinite(model.threshold("a"))
    assert torch.equal(found.images, usual.images) == (variant is v.TopK)


def blob(*cells: tuple[int, int], height: float = 10.0) -> torch.Tensor:
    """A 7×7 image of zeros with some cells raised."""
    scores = torch.zeros(1, 7, 7)
    for row, column in cells:
        scores[0, row, column] = height
    return scores


BLOCK = [(row, column) for row in (2, 3, 4) for column in (2, 3, 4)]


@pytest.mark.parametrize(
    ("cells", "share"),
    [(BLOCK, 1.0), (BLOCK[:8], 0.0), ([*BLOCK, (0, 6), (6, 0), (6, 6)], 0.75), ([(0, 0), (0, 1), (1, 0), (1, 1)], 1.0)],
    ids=["a block", "a block with a hole", "a block and three lone patches", "a corner"],
)
def test_top_scores_are_raised_by_the_share_that_lies_together(cells, share):
    assert SpatialCluster(3, 0.5)(blob(*cells), "a").item() == pytest.approx(10 * (1 + 0.5 * share))


def test_only_the_excess_over_the_median_is_raised():
    assert SpatialCluster(3, 0.5)(blob(*BLOCK) - 100, "a").item() == pytest.approx(-100 + 15)
    constant = torch.full((1, 7, 7), -4.0)
    assert SpatialCluster(3, 0.5)(constant, "a").item() == -4.0


def test_opening_equals_scipy():
    masks = torch.rand(20, 9, 11, generator=torch.Generator().manual_seed(0)) > 0.25
    square = torch.ones(3, 3).numpy()
    for mask, found in zip(masks, opened(masks), strict=True):
        expected = binary_dilation(binary_erosion(mask.numpy(), square, border_value=1), square)
        assert torch.equal(found, torch.from_numpy(expected))
    assert opened(masks).any()


def test_attention_starts_close_to_the_three_highest_and_follows_its_weights():
    aggregation = built(v.Adaptive, (10, 10, 2))
    scores = torch.randn(4, 10, 10, generator=torch.Generator().manual_seed(0))
    top, mean = TopK(3)(scores, "a"), (scores.flatten(1).sum(1) - 3 * TopK(3)(scores, "a")) / 97
    share = torch.sigmoid(torch.tensor(3.0))
    torch.testing.assert_close(aggregation(scores, "a"), share * top + (1 - share) * mean)
    with torch.no_grad():
        aggregation.attention["a"].a[1] = 100.0
    torch.testing.assert_close(aggregation(scores, "a"), scores.flatten(1).sort(1).values[:, -2])


@pytest.mark.parametrize("patches", [1, 2, 3, 4])
def test_attention_on_few_patches_is_still_a_mean(patches):
    aggregation = Adaptive(patches)
    begin_task(aggregation, A, 0)
    assert aggregation(torch.full((2, 1, patches), 7.0), "a").tolist() == pytest.approx([7.0, 7.0])


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_blur_equals_scipy(sigma):
    pixels = torch.rand(2, 1, 40, 30, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(pixels.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    torch.testing.assert_close(gaussian_blur(pixels, sigma), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


def test_pixel_maps_have_the_input_size_and_keep_constants():
    constant = torch.full((2, 4, 4), 3.0)
    for mix in ({4.0: 1.0}, {2.0: 0.6, 4.0: 0.4}, {}):
        maps = PixelMap(32, mix)(constant)
        torch.testing.assert_close(maps, torch.full((2, 32, 32), 3.0))


def test_a_mix_is_the_weighted_sum_of_its_blurs():
    patches = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(1))
    mixed = PixelMap(32, {2.0: 0.6, 4.0: 0.4})(patches)
    expected = 0.6 * PixelMap(32, {2.0: 1.0})(patches) + 0.4 * PixelMap(32, {4.0: 1.0})(patches)
    torch.testing.assert_close(mixed, expected)


def reference(scores: list[float], rate: float) -> ScoreReference:
    part = ScoreReference(Task(("a",), 0))
    part.learn(torch.tensor(scores), rate)
    return part


@pytest.mark.parametrize(
    ("n", "rate", "expected"),
    [(19, 0.05, 19.0), (39, 0.05, 38.0), (99, 0.1, 90.0), (5, 0.05, 5.0), (3, 0.9, 1.0)],
)
def test_threshold_is_the_conformal_quantile(n, rate, expected):
    assert reference([float(i) for i in range(n, 0, -1)], rate).threshold.item() == expected


def test_threshold_keeps_its_promise_on_new_images():
    generator = torch.Generator().manual_seed(0)
    alarms = [
        (torch.randn(1, generator=generator) > reference(torch.randn(39, generator=generator).tolist(), 0.1).threshold)
        for _ in range(2000)
    ]
    assert 0.07 < torch.cat(alarms).double().mean() < 0.12


def test_without_reference_scores_there_is_no_threshold():
    assert torch.isnan(reference([], 0.05).threshold)


def test_a_reference_loads_any_number_of_scores():
    source, target = reference([1.0, 3.0, 2.0], 0.5), reference([], 0.5)
    target.load_state_dict(source.state_dict())
    assert target.scores.tolist() == [1.0, 2.0, 3.0]
    assert torch.equal(target.threshold, source.threshold)


def test_an_expert_from_before_promises_were_stored_loads_and_promises_nothing():
    source, target = reference([1.0, 3.0, 2.0], 0.5), reference([], 0.5)
    older = {name: value for name, value in source.state_dict().items() if name != "rate"}
    target.load_state_dict(older)
    assert target.scores.tolist() == [1.0, 2.0, 3.0]
    assert torch.isnan(target.rate)
    assert source.rate == 0.5


def test_the_borders_weight_rises_from_the_frame():
    expected = torch.tensor([1 / 3, 2 / 3, 1, 1, 1, 2 / 3, 1 / 3])
    weight = ramp(7, 7, 0.25)
    torch.testing.assert_close(weight[3], expected)
    torch.testing.assert_close(weight[0], torch.full((7,), 1 / 3))
    assert torch.equal(ramp(4, 9, 0.0), torch.ones(4, 9))
    assert ramp(20, 4, 0.25).min().item() == 0.5, "a quarter of the shorter side is one patch"


def test_the_border_ramp_pulls_to_the_images_median_whatever_the_scores_sign():
    scores = torch.full((2, 5, 5), -50.0)
    scores[0, 0, 2], scores[0, 2, 2], scores[1] = -20.0, -20.0, 7.0
    out = BorderRamp((5, 5), 0.2)(scores, torch.zeros(2, 5, 5, 3), "any")
    assert out[0, 0, 2].item() == pytest.approx(-35.0)
    assert out[0, 2, 2].item() == -20.0
    assert torch.equal(out[1], scores[1])


@pytest.mark.parametrize("mix", [{}, {4.0: 1.0}, {2.0: 0.6, 4.0: 0.4}])
def test_a_pixel_map_is_the_bilinear_enlargement_blurred(mix):
    scores = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pixels = torch.nn.functional.interpolate(scores[:, None], size=(40, 40), mode="bilinear", align_corners=False)
    expected = sum(weight * gaussian_blur(pixels, sigma) for sigma, weight in mix.items()) if mix else pixels
    torch.testing.assert_close(PixelMap(40, mix)(scores), expected[:, 0])
    torch.testing.assert_close(PixelMap(40, mix)(scores.float()), expected[:, 0].float())
