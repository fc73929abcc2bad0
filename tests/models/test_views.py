"""V: second views of a task's patches, and how they are fused with the flow's score."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from moleflow.config import variants as v
from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.task import begin_task, expert_state, load_expert, tell_experts_changed
from moleflow.models.views.base import Scale
from moleflow.models.views.coordinates import Coordinates, by_depth, coordinates_of
from moleflow.models.views.patch_memory import Bank, Cover, PatchMemory, covering, spread_out
from moleflow.models.views.place_gaussian import OWN, RIDGE, LowRankGaussians, PlaceGaussian
from tests.fakes import TINY, FakeFeatures, product_features, tiny_model, train_task, trained

VIEWED = replace(TINY, place_gaussian=v.PlaceGaussian(grid=4, rank=4), patch_memory=v.PatchMemory(size=30, counts=2.0))


CLOSE = {"rtol": 0.01, "atol": 0.01}
"""How far a memory's distances may be off: patches and squares are rounded to eight significant bits."""


def patches(images: int = 20, places: int = 3, dim: int = 4, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(places, dim, dim, generator=generator)
    return torch.einsum("npd,pde->npe", torch.randn(images, places, dim, generator=generator), mixing) + 3


def test_full_rank_gaussians_are_the_dense_ones_up_to_a_constant():
    x = patches()
    gaussians = LowRankGaussians(3, 4, rank=4)
    gaussians.learn(x)
    centred = x - x.mean(0)
    own = torch.einsum("npd,npe->pde", centred, centred) / len(x)
    ridge = RIDGE * own.diagonal(dim1=1, dim2=2).mean() * torch.eye(4)
    covariance = OWN * own + (1 - OWN) * own.mean(0) + ridge
    dense = torch.distributions.MultivariateNormal(x.mean(0), covariance)
    new = patches(5, seed=1)
    difference = gaussians(new) + dense.log_prob(new)
    torch.testing.assert_close(difference, difference[0, 0].expand_as(difference), rtol=0, atol=2e-3)


def test_a_lower_rank_keeps_the_widest_axes():
    x = patches(200)
    full, low = LowRankGaussians(3, 4, rank=4), LowRankGaussians(3, 4, rank=2)
    full.learn(x)
    low.learn(x)
    torch.testing.assert_close(low.gains, full.gains[:, 2:], rtol=1e-4, atol=1e-5)
    assert (low(x) >= full(x) - 0.5 * torch.log1p(full.gains[:, :2]).sum(1) - 1e-3).all()


def test_places_are_pooled_from_and_spread_to_the_features_grid():
    view = PlaceGaussian((8, 6, 5), grid=4, rank=2)
    assert view.grid == (4, 4)
    task = Task(("a",), 0)
    view.gaussians.begin(task)
    features = torch.randn(7, 8, 6, 5, generator=torch.Generator().manual_seed(0))
    view.gaussians["a"].learn(view.places(features))
    assert view(features, "a").shape == (7, 8, 6)
    odd = features.clone()
    odd[:, :2, :2] += 10
    change = view(odd, "a") - view(features, "a")
    assert change[:, 0, 0].min() > 1
    assert change[:, 6:, 4:].abs().max() < 1e-3


def test_an_opinion_is_as_far_from_its_mean_as_it_counts():
    scale = Scale([1.0, 3.0], [True, False])
    scores = torch.tensor([[1.0, 5.0], [50.0, 70.0]])
    scale.learn(scores)
    root = 2**-0.5
    torch.testing.assert_close(scale(scores), torch.tensor([[-root, root], [-3 * root, 3 * root]]))


def test_an_energy_counts_by_its_root_above_the_lowest_held_out_one():
    scale = Scale([1.0], [True])
    scale.learn(torch.tensor([[1.0, 2.0, 5.0]]))  # roots of 0, 1, 4 above the floor
    torch.testing.assert_close(scale(torch.tensor([[1.0, 2.0, 5.0, 10.0]])), torch.tensor([[-1.0, 0.0, 1.0, 2.0]]))
    torch.testing.assert_close(scale(torch.tensor([[-7.0]])), torch.tensor([[-1.0]]))


def test_fused_scores_are_weighted_sums_of_standardised_opinions():
    model = trained(["a", "b"], VIEWED)
    features = product_features("a", 6, seed=5)
    held_out = product_features("a", 5)
    gaussian, fine, pooled = model.fusion.views

    def above(energy):
        return lambda x: (energy(x) - energy(held_out).min()).clamp_min(0).sqrt()

    opinions = [
        (1, above(lambda x: model.likelihood(x, "a").nll)),
        (1, above(lambda x: gaussian(x, "a"))),
        (2, lambda x: fine(x, "a")),
        (2, lambda x: pooled(x, "a")),
    ]
    expected = sum(counts * (see(features) - see(held_out).mean()) / see(held_out).std() for counts, see in opinions)
    torch.testing.assert_close(model.score_as(features, "a").patches, expected, rtol=1e-3, atol=1e-3)


def test_without_held_out_images_the_flow_scores_alone():
    model = tiny_model(VIEWED)
    task = Task(("a",), 0)
    train_task(model, task, VIEWED)
    model.fusion.scales.drop("a")
    model.fusion.scales.begin(task)
    model.calibrate(task, lambda: [], 0.05)
    features = product_features("a", 3)
    assert torch.equal(model.score_as(features, "a").patches, model.likelihood(features, "a").nll)


def test_a_view_belongs_to_its_task_and_costs_what_its_rank_says():
    model = trained(["a"], VIEWED)
    before = {name: value.clone() for name, value in expert_state(model, "a").items()}
    scores = model.score_as(product_features("a", 3), "a")
    train_task(model, Task(("b",), 1), VIEWED)
    after = expert_state(model, "a")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(model.score_as(product_features("a", 3), "a").patches, scores.patches)
    assert after["fusion.views.0.gaussians.axes"].shape == (16, 4, 6)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_scores_survive_storage_rounding(dtype):
    model = trained(["a"], VIEWED, TrainingConfig(num_steps=8, batch_size=4, lr=5e-3, expert_dtype=dtype))
    scores = model.score_as(product_features("a", 6, seed=5), "a").images
    assert torch.isfinite(scores).all()
    assert scores.mean() < model.score_as(FakeFeatures(["c"], 6).features, "a").images.mean()


def test_kept_patches_are_as_far_apart_as_they_can_be():
    corners = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]])
    crowd = 0.01 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) + corners[0]
    patches = torch.cat([crowd, corners[1:]])
    chosen = patches[spread_out(patches, 4).chosen]
    assert torch.cdist(corners, chosen).amin(1).max() < 0.1


def test_fewer_patches_than_asked_for_repeat():
    assert set(spread_out(torch.randn(3, 5), 10).chosen.tolist()) == {0, 1, 2}


def test_a_patch_costs_its_distance_to_the_nearest_kept_one():
    bank = Bank(2, 3)
    bank.keep(torch.tensor([[2.0, 0.0, -2.0], [10.0, 0.0, 0.0]]))
    patches = torch.tensor([[[2.0, 0.0, -3.0], [10.0, 3.0, 0.0]]])
    torch.testing.assert_close(bank(patches), torch.tensor([[1.0, 3.0]]), **CLOSE)


def test_a_memory_that_is_filled_anew_forgets_the_lengths_it_kept():
    bank, other = Bank(3, 2), Bank(3, 2)
    seen = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0))
    for size in (1, 4):
        other.keep(size * torch.eye(3, 2))
        torch.testing.assert_close(other(seen), torch.cdist(seen, other.patches).amin(2), **CLOSE)
        bank.load_state_dict(other.state_dict())
        tell_experts_changed(bank)
        torch.testing.assert_close(bank(seen), torch.cdist(seen, bank.patches).amin(2), **CLOSE)


def test_a_kept_number_takes_a_byte_and_is_right_to_half_a_step():
    bank, seen = Bank(40, 3), torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 9, 0])
    bank.keep(seen)
    assert bank.state_dict()["codes"].nbytes == 40 * 3
    steps = torch.tensor([1 / 255, 1 / 255, 0]) * (seen.amax(0) - seen.amin(0))
    off = (seen[:, None] - bank.patches).abs().amax(2).amin(1)  # of each patch from its own, whatever the order
    assert off.max() <= 0.501 * steps.max()


def test_a_memory_does_without_an_image_and_has_others_stand_in_for_what_they_share():
    """On a line: of image 0 patches at 0 and 9 are kept, of image 1 one at 5; that at 0 stands for one of 1 too."""
    patches, owners = torch.tensor([[0.0], [9.0], [5.0], [1.0], [9.5]]), torch.tensor([0, 0, 1, 1, 0])
    bank = Bank(3, 1)
    bank.keep(patches[:3])
    bank.know(2, patches, owners, Cover(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2, 0, 1])))
    assert bank.spares.tolist() == [1.0, torch.inf, torch.inf]
    seen = torch.tensor([[[0.0], [0.2], [9.0], [5.5]]])
    for image, expected in ((2, [0.0, 0.2, 0.0, 0.5]), (0, [1.0, 1.2, 4.0, 0.5]), (1, [0.0, 0.2, 0.0, 3.5])):
        with bank.without(image):
            torch.testing.assert_close(bank(seen), torch.tensor([expected]), rtol=0, atol=0.03)
    torch.testing.assert_close(bank(seen), torch.tensor([[0.0, 0.2, 0.0, 0.5]]), rtol=0, atol=0.03)


@pytest.mark.parametrize("pooling", [1, 2])
def test_a_memory_knows_whose_patches_it_keeps_until_it_is_stored(pooling: int):
    view, task = PatchMemory((4, 4, 3), pooling, size=20), Task(("a",), 0)
    view.coordinates.begin(task)
    view.banks.begin(task)
    features = torch.randn(7, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    features += torch.arange(7).reshape(7, 1, 1, 1) * 100  # a patch's size tells the image
    view.end_task(task, lambda: [Batch(part, torch.zeros(len(part))) for part in features.split(4)])
    bank = view.banks["a"]
    assert bank.images == 7
    assert torch.equal(bank.owners, bank.patches.mean(1).div(100).round().long())
    assert bank.spares.isinf().all(), "no image is near another"
    assert not {"owners", "spares", "images"} & bank.state_dict().keys()
    bank.keep(bank.patches)
    assert bank.images == 0


def test_a_point_stands_for_those_it_is_the_nearest_chosen_one_of():
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    chosen, cells = spread_out(points, 12)
    assert torch.equal(cells, torch.cdist(points, points[chosen]).argmin(1))


def test_a_pooled_memory_compares_means_of_cells():
    view = PatchMemory((4, 4, 3), pooling=2, size=5)
    task = Task(("a",), 0)
    view.coordinates.begin(task)
    view.banks.begin(task)
    features = torch.randn(2, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    means = features.unflatten(1, (2, 2)).unflatten(3, (2, 2)).mean((2, 4)).flatten(1, 2)
    drawn, cover = covering(means.flatten(0, 1), 5, 10)
    view.banks["a"].keep(means.flatten(0, 1)[drawn[cover.chosen]])
    moved = means + torch.tensor([0.0, 0.0, 50.0])
    torch.testing.assert_close(view.places(features), means)
    torch.testing.assert_close(view.judge(moved, "a"), torch.cdist(moved, view.banks["a"].patches).amin(2), **CLOSE)


def test_views_do_not_depend_on_how_many_images_come_at_once():
    model = trained(["a"], VIEWED)
    features = product_features("a", 19, seed=5)
    memory = model.fusion.views[1]
    assert memory(features, "a").shape == (19, 4, 4)
    torch.testing.assert_close(memory(features, "a")[11:12], memory(features[11:12], "a"), rtol=1e-4, atol=1e-4)


def test_a_class_of_one_image_has_finite_scores_after_storage():
    view = PlaceGaussian((4, 4, 5), grid=4, rank=2)
    task = Task(("a",), 0)
    view.gaussians.begin(task)
    features = torch.randn(3, 4, 4, 5, generator=torch.Generator().manual_seed(0))
    view.gaussians["a"].learn(view.places(features[:1]))
    for buffer in view.gaussians["a"].buffers():
        buffer.copy_(buffer.half())
    assert torch.isfinite(view(features, "a")).all()


def test_the_finest_views_draw_the_map_and_all_judge_the_image():
    model = trained(["a", "b"], replace(VIEWED, map_source=v.MapOfFinest()))
    features = product_features("a", 6, seed=5)
    opinions = model.fusion.scales["a"](model.fusion._opinions(model.scorer(model, features, "a"), features, "a"))
    drawn = opinions[1] + opinions[2]  # the Gaussians' grid is the features', and so is the first memory's
    scores = model.score_as(features, "a")
    torch.testing.assert_close(scores.patches, drawn)
    torch.testing.assert_close(scores.images, model.aggregation(opinions.sum(0), "a"))
    assert not torch.allclose(scores.images, model.aggregation(drawn, "a"))


def test_without_held_out_images_the_flow_draws_the_map_too():
    model = tiny_model(replace(VIEWED, map_source=v.MapOfFinest()))
    task = Task(("a",), 0)
    train_task(model, task, VIEWED)
    model.fusion.scales.drop("a")
    model.fusion.scales.begin(task)
    features = product_features("a", 3)
    assert torch.equal(model.score_as(features, "a").patches, model.likelihood(features, "a").nll)


ASKED_LITTLE = replace(
    VIEWED, position=v.ConditionalPosition(4), map_source=v.MapOfFinest(flow_share=0.2), border=v.NoBorderRamp()
)
"""Three of sixteen patches."""


def opinions_of(model, features):
    return model.fusion.scales["a"](model.fusion._opinions(model.scorer(model, features, "a"), features, "a"))


def test_the_flow_judges_the_patches_that_the_views_find_most_unusual_and_counts_nothing_elsewhere():
    model = trained(["a", "b"], ASKED_LITTLE)
    features = product_features("a", 6, seed=5)
    flow, *views = opinions_of(model, features)
    views = sum(views)
    asked = views >= views.flatten(1).topk(3).values[:, -1, None, None]
    fused = model.fusion(partial(model.scorer, model, features, "a"), features, "a")
    torch.testing.assert_close(fused.whether, torch.where(asked, views + flow, views))
    torch.testing.assert_close(model.score_as(features, "a").images, model.aggregation(fused.whether, "a"))
    assert (flow * asked).abs().sum() > 1, "it has something to say"


def test_whom_the_flow_is_asked_about_changes_no_map():
    model = trained(["a"], ASKED_LITTLE)
    features = product_features("a", 6, seed=5)
    few = model.score_as(features, "a").patches
    model.fusion.flow_share = 1.0
    assert torch.equal(few, model.score_as(features, "a").patches)


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5])
def test_the_flow_sees_no_other_patch(share: float):
    model = trained(["a"], replace(ASKED_LITTLE, map_source=v.MapOfFinest(share)))
    seen = []
    model.flow.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[:-1].numel()))
    model.score_as(product_features("a", 6, seed=5), "a")
    assert seen == [6 * max(1, round(share * 16))]


def test_channels_count_from_shallow_to_deep():
    torch.testing.assert_close(by_depth(3, 4.0), torch.tensor([4.0, 2.0, 1.0]))
    coordinates = Coordinates(3, shallow=4.0)
    torch.testing.assert_close(coordinates(torch.ones(2, 3)), torch.tensor([[4.0, 2.0, 1.0]] * 2))


def wide_patches(seed: int = 0) -> torch.Tensor:
    spread = torch.tensor([0.1, 5.0, 0.2, 3.0, 0.1, 0.1])
    return 2 + spread * torch.randn(500, 6, generator=torch.Generator().manual_seed(seed))


def test_coordinates_are_the_widest_directions_and_the_length_of_the_rest():
    coordinates = Coordinates(6, count=2)
    assert coordinates_of(6, 2) == 3
    x = wide_patches()
    coordinates.learn(x)
    torch.testing.assert_close(
        coordinates.axes.float().abs().amax(1).sort().values[-2:], torch.ones(2), atol=1e-2, rtol=0
    )
    assert coordinates.axes[[1, 3]].float().abs().amax(1).min() > 0.99
    centred = x - x.mean(0)
    rest = centred[:, [0, 2, 4, 5]].norm(dim=1)
    torch.testing.assert_close(coordinates(x)[:, 2], rest, atol=0.1, rtol=0)
    torch.testing.assert_close(coordinates(x).norm(dim=1), centred.norm(dim=1), rtol=2e-3, atol=2e-3)


def test_no_two_patches_are_nearer_than_their_coordinates_say():
    x = wide_patches()
    coordinates = Coordinates(6, shallow=2.0, count=2)
    coordinates.learn(coordinates.weighted(x))
    weighted = by_depth(6, 2.0) * x[:50]
    assert (torch.cdist(coordinates(x[:50]), coordinates(x[:50])) <= torch.cdist(weighted, weighted) + 2e-2).all()


def test_what_no_normal_patch_shows_is_far_along_the_rest():
    view = PatchMemory((2, 2, 6), pooling=1, size=50, directions=2)
    task = Task(("a",), 0)
    view.coordinates.begin(task)
    view.banks.begin(task)
    view.end_task(task, lambda: [Batch(wide_patches().reshape(125, 2, 2, 6), torch.zeros(125))])
    seen = wide_patches(1)[None]
    odd = seen + torch.tensor([0, 0, 0, 0, 6.0, 0])
    assert view.judge(odd, "a").min() > view.judge(seen, "a").max()


def test_directions_are_kept_in_half_precision_and_survive_storage():
    wanted = replace(VIEWED, patch_memory=v.PatchMemory(size=30, directions=(3,), shallow=(2.0, 0.5)))
    model = trained(["a"], wanted, TrainingConfig(num_steps=8, batch_size=4, lr=5e-3, expert_dtype="float16"))
    state = {name: value.clone() for name, value in expert_state(model, "a").items()}
    assert state["fusion.views.1.coordinates.axes"].dtype == torch.float16
    assert state["fusion.views.2.banks.codes"].shape == (30, 4)
    scores = model.score_as(product_features("a", 6, seed=5), "a").images
    fine, pooled = model.fusion.views[1:]
    first = torch.stack([view.coordinates["a"].weights[0] for view in (fine, pooled)])
    torch.testing.assert_close(first, torch.tensor([2.0, 0.5]))
    other = tiny_model(wanted)
    begin_task(other, Task(("a",), 0), 0)
    load_expert(other, "a", state)
    torch.testing.assert_close(
        other.fusion.views[1](product_features("a", 2), "a"), fine(product_features("a", 2), "a")
    )
    assert torch.isfinite(scores).all()
