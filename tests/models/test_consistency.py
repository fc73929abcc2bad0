"""S3: agreement with the neighbourhood."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, trained

from moleflow.config import variants as v
from moleflow.config.knobs import variants_of
from moleflow.config.resolve import slots
from moleflow.config.task import Task
from moleflow.models.build.scoring import build_consistency
from moleflow.models.scoring.consistency import KERNELS, MultiscaleConsistency, agreeing
from moleflow.models.scoring.scorer import ScoreMapping
from moleflow.models.task import begin_task

A = Task(("a",), 0)
CONSISTENCIES = variants_of(slots()["consistency"])
FEATURES = torch.zeros(3, 8, 9, 2)


def noise() -> torch.Tensor:
    return torch.randn(3, 8, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def built(variant: type) -> ScoreMapping:
    part = build_consistency(replace(TINY, consistency=variant()))
    begin_task(part, A, 0)
    return part


def test_agreement_by_hand():
    """One row 0, 0, 6 with k = 3: neighbourhoods 0, 2, 3; c = 8/3; s' = m + c·d/(c + |d|)."""
    found = agreeing(torch.tensor([[[0.0, 0.0, 6.0]]]), 3)
    c = 8 / 3
    torch.testing.assert_close(found, torch.tensor([[[0.0, 2 - 2 * c / (c + 2), 3 + 3 * c / (c + 3)]]]))


def test_a_lone_patch_loses_more_than_a_patch_among_its_like():
    scores = torch.zeros(2, 9, 9)
    scores[0, 4, 4] = 10
    scores[1, 3:6, 3:6] = 10
    lone, together = agreeing(scores, 3)[:, 4, 4]
    assert lone < 2
    assert together == 10


def test_a_patch_stays_within_c_of_its_neighbourhood_and_in_order():
    """The higher one patch, the higher its score: an outlier is never taken for less than a weaker one."""
    found = []
    for height in (1.0, 3.0, 10.0, 100.0):
        scores = torch.zeros(1, 9, 9)
        scores[0, 4, 4] = height
        found.append(agreeing(scores, 3)[0, 4, 4].item())
        c = 2 * height * 80 / 81**2
        assert abs(found[-1] - height / 9) < c
    assert found == sorted(found)


@pytest.mark.parametrize("variant", CONSISTENCIES)
def test_scores_follow_shift_and_scale(variant):
    part, scores = built(variant), noise()
    found = part(scores, FEATURES, "a")
    assert found.shape == scores.shape
    torch.testing.assert_close(part(3 * scores - 100, FEATURES, "a"), 3 * found - 100)
    torch.testing.assert_close(part(scores[1:2], FEATURES, "a"), found[1:2])
    assert torch.equal(found, scores) == (variant is v.NoConsistency)


@pytest.mark.parametrize("variant", CONSISTENCIES)
def test_constant_scores_stay_and_give_finite_gradients(variant):
    scores = torch.full((1, 4, 4), -3.0, requires_grad=True)
    found = built(variant)(scores, FEATURES, "a")
    torch.testing.assert_close(found, scores)
    found.sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_no_neighbourhood_changes_nothing():
    assert torch.equal(agreeing(noise(), 1), noise())


def test_several_scales_start_as_a_mean_and_follow_the_tasks_weights():
    part = MultiscaleConsistency()
    for task in (A, Task(("b",), 1)):
        begin_task(part, task, 0)
    each = torch.stack([agreeing(noise(), kernel) for kernel in KERNELS])
    torch.testing.assert_close(part(noise(), FEATURES, "a"), each.mean(0))
    with torch.no_grad():
        part.fusion["a"].a[1] = 100.0
    torch.testing.assert_close(part(noise(), FEATURES, "a"), each[1])
    torch.testing.assert_close(part(noise(), FEATURES, "b"), each.mean(0))


@pytest.mark.parametrize("variant", CONSISTENCIES)
def test_every_consistency_scores_a_trained_model(variant):
    model, default = trained(["a"], replace(TINY, consistency=variant())), trained(["a"])
    features = product_features("a", 6)
    with torch.no_grad():
        found, plain = model.score_as(features, "a"), default.score_as(features, "a")
    assert torch.isfinite(found.patches).all()
    assert torch.equal(found.patches, plain.patches) == (variant is v.NoConsistency)
    assert torch.equal(found.images, plain.images) == (variant is v.NoConsistency)
