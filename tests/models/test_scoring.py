"""Image scores, pixel maps, thresholds."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from moleflow.config.task import Task
from moleflow.models.scoring.aggregation import Max, Mean, Percentile, TopK, TopKPercent
from moleflow.models.scoring.reference import ScoreReference
from moleflow.models.scoring.smoothing import PixelMap, gaussian_blur

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
    torch.testing.assert_close(aggregation(SCORES), torch.tensor(expected))


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
