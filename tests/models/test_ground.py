"""V6: places where normal images hardly differ count less; what is usual there is learned without the image itself."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, tiny_model, train_task, trained

from moleflow.config import variants as v
from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.scoring.ground import Ground, GroundWeight, pulled_to_median
from moleflow.models.scoring.smoothing import gaussian_blur
from moleflow.models.task import expert_state, load_expert
from moleflow.models.views import patch_memory
from moleflow.models.views.patch_memory import PatchMemory

TASK = Task(("a",), 0)
GROUNDED = replace(TINY, patch_memory=v.PatchMemory(size=20, poolings=(2, 1)), border=v.GroundWeight())
"""The memory on the features' own grid is not the first."""


def batches_of(features: torch.Tensor, at_once: int = 4):
    return lambda: [Batch(part, torch.zeros(len(part), dtype=torch.long)) for part in features.split(at_once)]


def filled(features: torch.Tensor, size: int) -> PatchMemory:
    view = PatchMemory((*features.shape[1:3], features.shape[3]), 1, size, tells_usual=True)
    view.coordinates.begin(TASK)
    view.banks.begin(TASK)
    view.end_task(TASK, batches_of(features))
    return view


def with_ground(images: int = 9, side: int = 12) -> torch.Tensor:
    """Images whose middle differs and whose outer third is the same but for a hundredth."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(images, side, side, 3, generator=random)
    ground = torch.ones(side, side, dtype=torch.bool)
    ground[side // 3 : -(side // 3), side // 3 : -(side // 3)] = False
    features[:, ground] *= 0.01
    return features


def test_a_place_counts_by_what_is_usual_there_up_to_a_quantile_of_all():
    ground, usual = Ground((6, 6)), torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    ground.learn(usual, 0.75)
    blurred = gaussian_blur(usual[None, None], 1.0)[0, 0]
    torch.testing.assert_close(ground.weight, (blurred / blurred.quantile(0.75)).clamp(max=1))
    assert (ground.weight == 1).sum() == 9


@pytest.mark.parametrize("usual", [torch.full((4, 4), torch.inf), torch.full((4, 4), 3.0), torch.zeros(4, 4)])
def test_where_nothing_is_known_or_all_places_are_alike_every_place_counts_the_same(usual: torch.Tensor):
    ground = Ground((4, 4))
    ground.learn(usual, 0.9)
    torch.testing.assert_close(ground.weight, torch.ones(4, 4))


def test_scores_are_pulled_to_the_images_median_where_a_place_counts_less():
    part = GroundWeight((1, 3), 0.9, lambda task: torch.ones(1, 3))
    part.grounds.begin(TASK)
    part.grounds["a"].weight.copy_(torch.tensor([[1.0, 0.5, 0.0]]))
    scores = torch.tensor([[[9.0, 5.0, -1.0]], [[3.0, 3.0, 3.0]]])
    assert part(scores, torch.zeros(2, 1, 3, 1), "a").tolist() == [[[9.0, 5.0, 5.0]], [[3.0, 3.0, 3.0]]]


def test_what_is_usual_is_the_mean_distance_to_what_is_kept_of_other_images():
    features = with_ground(images=5, side=4)
    view = filled(features, 5 * 16)  # all patches are kept
    patches = features.flatten(1, 2)
    away = [torch.cdist(one, torch.cat([*patches[:at], *patches[at + 1 :]])).amin(1) for at, one in enumerate(patches)]
    usual = view.usual("a")
    torch.testing.assert_close(usual, torch.stack(away).mean(0).unflatten(0, (4, 4)), rtol=0.02, atol=0.01)


def test_of_many_images_some_tell_what_is_usual(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patch_memory, "USUAL", 4)
    features, looked_at, judge = with_ground(images=9), [], PatchMemory.judge
    monkeypatch.setattr(
        PatchMemory, "judge", lambda self, places, task: looked_at.append(places) or judge(self, places, task)
    )
    filled(features, 40)
    assert torch.equal(torch.cat(looked_at), features[::3].flatten(1, 2))


def test_a_memory_that_is_not_asked_finds_out_nothing():
    model = trained(["a"], replace(GROUNDED, border=v.NoBorderRamp()))
    assert all(view.usual("a") is None for view in model.fusion.views)
    pooled, finest = trained(["a"], GROUNDED).fusion.views
    assert pooled.usual("a") is None
    assert finest.usual("a").shape == finest.grid


def test_the_ground_around_a_product_counts_little_and_the_product_in_full():
    features = with_ground()
    view = filled(features, 200)
    part = GroundWeight((12, 12), 0.9, view.usual)
    part.grounds.begin(TASK)
    part.end_task(TASK, batches_of(features))
    weight = part.grounds["a"].weight
    assert weight[5:7, 5:7].min() > 0.8
    assert torch.stack([weight[0], weight[-1], weight[:, 0], weight[:, -1]]).max() < 0.1


def test_one_image_tells_nothing_of_the_ground():
    features = with_ground(images=1)
    view = filled(features, 10)
    part = GroundWeight((12, 12), 0.9, view.usual)
    part.grounds.begin(TASK)
    part.end_task(TASK, batches_of(features))
    assert torch.equal(part.grounds["a"].weight, torch.ones(12, 12))


def test_each_expert_keeps_its_own_and_takes_it_along():
    one, both = trained(["a"], GROUNDED), trained(["a", "b"], GROUNDED)
    names = [name for name in expert_state(both, "a") if "ground" in name]
    assert len(names) == 1
    assert torch.equal(expert_state(one, "a")[names[0]], expert_state(both, "a")[names[0]])
    assert not torch.equal(both.border.grounds["a"].weight, both.border.grounds["b"].weight)
    assert both.border.grounds["a"].weight.min() < 0.999
    other = tiny_model(GROUNDED)
    train_task(other, Task(("b",), 0), GROUNDED)
    other.begin_task(Task(("a",), 1), 0)
    load_expert(other, "a", expert_state(both, "a"))
    assert torch.equal(other.border.grounds["a"].weight, both.border.grounds["a"].weight)


def test_both_the_map_and_the_images_score_are_weighted():
    model, features = trained(["a"], GROUNDED), product_features("a", 4, seed=5)
    weight = model.border.grounds["a"].weight
    learned = weight.clone()
    scored = []
    for one in (torch.ones_like(weight), learned, torch.zeros_like(weight)):
        weight.copy_(one)
        scored.append(model.score_as(features, "a"))
    plain, weighted, none = scored
    torch.testing.assert_close(weighted.patches, pulled_to_median(plain.patches, learned))
    assert not torch.allclose(weighted.images, plain.images)
    torch.testing.assert_close(none.images, plain.patches.flatten(1).median(1).values)
