"""S8: limits of regions by hand, their promise on new images, and what they find that one threshold does not."""

from dataclasses import replace

import pytest
import torch
from fakes import SIZE, TINY, trained

from moleflow.config.task import Task
from moleflow.config.variants import RegionDecision as RegionConfig
from moleflow.models.mole_nf import Scores
from moleflow.models.scoring.decision import ImageDecision, RegionDecision, left_out_z
from moleflow.models.scoring.limits import QuantileLimit
from moleflow.models.scoring.reference import ScoreReference
from moleflow.models.task import expert_state, load_expert

TASK = Task(("a",), 0)
NO_REFERENCE = ScoreReference(TASK)


def learned(patches: torch.Tensor, rate: float = 0.1, grid: int = 2) -> RegionDecision:
    decision = RegionDecision(grid)
    decision.regions.begin(TASK)
    decision.learn(patches, "a", rate, QuantileLimit())
    return decision


def noise(n: int, seed: int = 0) -> torch.Tensor:
    """(n, 4, 4) scores whose right half is a hundred times louder than the left."""
    scores = torch.randn(n, 4, 4, generator=torch.Generator().manual_seed(seed))
    scores[:, :, 2:] *= 100
    return scores


def test_each_row_is_measured_by_all_the_others():
    scores = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).double()
    for row in range(7):
        others = torch.cat([scores[:row], scores[row + 1 :]])
        torch.testing.assert_close(left_out_z(scores)[row], (scores[row] - others.mean(0)) / others.std(0))


def test_limits_by_hand_with_one_region():
    """Highest patch scores 1, 2, 3, 6: mean 3, variance 14/3. 6 lies (6 − 2)/1 = 4 from the others, the farthest."""
    patches = torch.zeros(4, 4, 4)
    patches[:, 3, 0] = torch.tensor([1.0, 2.0, 3.0, 6.0])
    limit = learned(patches, grid=1).regions["a"].limits
    assert limit.tolist() == [[pytest.approx(3 + 4 * (14 / 3) ** 0.5)]]


def test_a_region_has_its_own_patches():
    patches = torch.arange(16.0).reshape(1, 4, 4)
    assert RegionDecision(2).scores(patches).tolist() == [[5.0, 7.0, 13.0, 15.0]]


def test_promised_is_the_rate_of_images_not_of_regions():
    alarms = []
    for seed in range(60):
        decision = learned(noise(60, seed))
        alarms.append(decision(noise(200, 1000 + seed), torch.zeros(200), NO_REFERENCE, "a").double())
    assert 0.07 < torch.cat(alarms).mean() < 0.13


def test_a_quiet_region_tells_what_a_loud_one_hides():
    decision, new = learned(noise(60)), torch.zeros(2, 4, 4)
    new[0, 1, 1], new[1, 1, 3] = 30.0, 30.0
    assert decision(new, torch.zeros(2), NO_REFERENCE, "a").tolist() == [True, False]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_normal_images_leave_the_decision_to_the_images_threshold(n: int):
    decision, known = learned(noise(n)), ScoreReference(TASK)
    assert decision.regions["a"].limits.isnan().all()
    assert decision(noise(2), torch.tensor([1.0, 9.0]), known, "a").tolist() == [False, False], "no threshold at all"
    known.threshold.fill_(5.0)
    assert decision(noise(2), torch.tensor([1.0, 9.0]), known, "a").tolist() == [False, True]


def test_regions_that_never_vary_call_whatever_is_higher_anomalous():
    decision, new = learned(torch.zeros(5, 4, 4)), torch.zeros(2, 4, 4)
    new[1, 0, 0] = 0.1
    assert decision(new, torch.zeros(2), NO_REFERENCE, "a").tolist() == [False, True]


def test_without_regions_the_score_decides():
    known = ScoreReference(TASK)
    known.threshold.fill_(5.0)
    assert ImageDecision()(noise(3), torch.tensor([4.0, 5.0, 6.0]), known, "a").tolist() == [False, False, True]


def test_predictions_are_each_tasks_own_and_come_back_from_its_expert():
    config = replace(TINY, decision=RegionConfig(grid=2))
    model = trained(["a", "b"], config)
    images = torch.rand(6, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    tasks = ["b", "a", "a", "b", "b", "a"]
    with torch.no_grad():
        scores = model.score(model.features(images), tasks)
    for task in "ab":  # so that some are beyond and some are not
        rows = [name == task for name in tasks]
        limits = model.decision.scores(scores.patches[rows]).amax(0).reshape(2, 2) + 1.0
        limits[0, 1] = model.decision.scores(scores.patches[rows])[:, 1].median()
        model.decision.regions[task].limits.copy_(limits)
    found = model.predict(images, tasks).anomalous
    expected = [
        bool((model.decision.scores(scores.patches[i : i + 1]) > model.decision.regions[t].limits.flatten()).any())
        for i, t in enumerate(tasks)
    ]
    assert found.tolist() == expected
    assert 0 < sum(expected) < 6
    again = trained(["a", "b"], config)
    for task in "ab":
        load_expert(again, task, expert_state(model, task))
    assert torch.equal(again.decide(Scores(scores.patches, scores.images), tasks), found)
