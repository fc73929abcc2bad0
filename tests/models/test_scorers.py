"""P5, S4, and the contract of every patch scorer: shapes, owners and gradients, round trips."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from fakes import GRID, TINY, TRAINING, product_features, tiny_model, trained
from torch import Tensor

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.knobs import knobs_of, variants_of
from moleflow.config.resolve import slots
from moleflow.config.task import Task
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.scoring.dual_branch import DualBranch, GuidedBlend, ImprovedBlend, LearnedBlend, within_image
from moleflow.models.scoring.multi_orientation import MultiOrientation
from moleflow.models.scoring.scorer import PatchScorer
from moleflow.models.stages import Latent
from moleflow.models.task import begin_task, expert_state, tell_experts_changed, trained_in

TASKS = (Task(("a",), 0), Task(("b",), 1))


def settings(variant: type) -> list[Any]:
    """The variant with every value of its choices."""
    chosen = next((knob for knob in knobs_of(variant) if knob.choices), None)
    return [variant(**{chosen.name: value}) for value in chosen.choices] if chosen else [variant()]


SCORERS: dict[str, AblationConfig] = {
    str(one): replace(TINY, scorer=one) for variant in variants_of(slots()["scorer"]) for one in settings(variant)
}
LEARN = [
    name for name, config in SCORERS.items() if config.scorer in (v.DualBranch("learned"), v.DualBranch("improved"))
]


@cache
def model_of(name: str) -> MoLEFlow:
    """A trained model with the scorer's parameters moved away from their start."""
    model = trained(["a", "b"], SCORERS[name])
    move(model.scorer, 0)
    return model


def move(part: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("images", [1, 5])
def test_scorers_give_a_finite_score_per_patch(name, images):
    model = model_of(name)
    assert isinstance(model.scorer, PatchScorer)
    with torch.no_grad():
        scores = model.score_as(product_features("b", images), "b")
    assert scores.patches.shape == (images, GRID, GRID)
    assert scores.images.shape == (images,)
    assert torch.isfinite(scores.patches).all()


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_scores_send_gradients_to_the_tasks_own_parameters_and_no_others(name, task):
    model = model_of(name)
    learns = {id(parameter) for parameter in trained_in(model, task)}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in learns)
        parameter.grad = None
    model.score_as(product_features("b", 3), task.name).images.sum().backward()
    owners = {path: parameter.grad is not None for path, parameter in model.scorer.named_parameters()}
    assert owners == {path: f"task:{task.name}." in path for path in owners}
    assert all(p.grad.abs().sum() > 0 and p.grad.isfinite().all() for p in model.scorer.parameters() if id(p) in learns)
    model.requires_grad_(False)


@pytest.mark.parametrize("name", SCORERS)
def test_a_scorers_state_makes_a_round_trip(name):
    source, target = model_of(name), trained(["a", "b"], SCORERS[name], replace(TRAINING, seed=5))
    move(target.scorer, 5)
    target.load_state_dict(source.state_dict())
    tell_experts_changed(target)
    x = product_features("b", 3)
    with torch.no_grad():
        assert torch.equal(source.score_as(x, "b").patches, target.score_as(x, "b").patches)


def test_other_scorers_score_otherwise():
    x = product_features("b", 3)
    with torch.no_grad():
        nll, *others = (model_of(name).score_as(x, "b").patches for name in SCORERS)
    assert all((nll - other).abs().max() > 1e-2 for other in others)


@pytest.mark.parametrize("name", LEARN)
def test_what_a_scorer_learns_belongs_to_the_expert(name):
    model = model_of(name)
    names = {path for path in expert_state(model, "a") if path.startswith("scorer.")}
    assert names == {"scorer.blend.affine.weight", "scorer.blend.affine.bias"}


@pytest.mark.parametrize("name", LEARN)
def test_likelihood_alone_leaves_the_blend_where_it_starts(name):
    model, untrained = trained(["a"], SCORERS[name]), tiny_model(SCORERS[name])
    untrained.begin_task(TASKS[0], 0)
    for path, tensor in untrained.scorer.state_dict().items():
        assert torch.equal(model.scorer.state_dict()[path], tensor.half().float()), path


# P5


class Template:
    """A data path whose NLL is the squared distance to one image; it counts how often it is asked."""

    def __init__(self, template: Tensor):
        self.template = template
        self.calls = 0

    def likelihood(self, features: Tensor, task: str, places: Tensor | None = None) -> Latent:
        self.calls += 1
        energy = (features - self.template).square().sum(-1)
        return Latent(features, torch.zeros_like(features), torch.zeros_like(energy), -energy)


def bare_energy(template: Template, features: Tensor, scorer: PatchScorer) -> Tensor:
    """The scores less the Gaussian constant that every patch has."""
    scores = scorer(template, features, "a")
    return scores - 0.5 * features.shape[-1] * torch.log(torch.tensor(2 * torch.pi))


@pytest.mark.parametrize("turn", range(4))
def test_a_turned_image_is_read_upright_and_its_map_turned_back(turn):
    template = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    x = torch.rot90(template, turn)[None].clone()
    x[0, 0, 1] += 1.0
    expected = torch.zeros(1, 4, 4)
    expected[0, 0, 1] = 3.0
    torch.testing.assert_close(bare_energy(Template(template), x, MultiOrientation()), expected, rtol=0, atol=1e-5)


def test_each_image_has_an_orientation_of_its_own_and_one_for_all_its_patches():
    template = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    x = torch.stack([torch.rot90(template, turn) for turn in (3, 0, 2)])
    x[1, 2, 2] = torch.rot90(template, 1)[2, 2]
    scores = bare_energy(Template(template), x, MultiOrientation())
    expected = (x[1] - template).square().sum(-1)
    assert expected[2, 2] > 0.1
    torch.testing.assert_close(scores[1], expected, rtol=0, atol=1e-5)
    assert scores[[0, 2]].abs().max() < 1e-5


def test_a_grid_that_is_not_square_is_read_in_two_orientations():
    template = Template(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)))
    x = torch.stack([template.template, torch.rot90(template.template, 2)])
    assert bare_energy(template, x, MultiOrientation()).abs().max() < 1e-5
    assert template.calls == 2
    square = Template(torch.randn(3, 3, 4))
    MultiOrientation()(square, torch.randn(2, 3, 3, 4), "a")
    assert square.calls == 4


# some patches

PLACES = torch.tensor([[3, 14, 0], [5, 5, 9]])


@pytest.mark.parametrize("sharing", [v.Shared(), v.Separated()], ids=["shared", "separated"])
@pytest.mark.parametrize("position", [v.ConditionalPosition(4), v.SinCosPosition()], ids=["condition", "grid"])
@pytest.mark.parametrize("scorer", [v.NllScore(), v.MultiOrientation()], ids=["nll", "orientations"])
def test_some_patches_have_the_scores_they_have_among_all(sharing, position, scorer):
    model = trained(["a"], replace(TINY, position=position, sharing=sharing, scorer=scorer, context=v.SpatialMixer()))
    move(model.flow, 3)
    x = product_features("a", 2)
    everywhere = model.scorer(model, x, "a")
    torch.testing.assert_close(model.scorer(model, x, "a", PLACES), everywhere.flatten(1).gather(1, PLACES))
    assert torch.equal(model.scorer(model, x, "a"), everywhere), "the look at some is over"


def test_a_look_at_some_patches_ends_with_an_error_too():
    model = trained(["a"], replace(TINY, position=v.ConditionalPosition(4)))
    x = product_features("a", 2)
    everywhere = model.scorer(model, x, "a")
    with pytest.raises(RuntimeError, match="no such task"), model.flow.looking_at(PLACES, "a"):
        raise RuntimeError("no such task")
    assert torch.equal(model.scorer(model, x, "a"), everywhere)


# S4

PLACED = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]])
UNPLACED = torch.tensor([[[5.0, 1.0], [1.0, 1.0]]])


def begun(blend: torch.nn.Module) -> torch.nn.Module:
    begin_task(blend, TASKS[0], 0)
    return blend


@pytest.mark.parametrize(("blend", "start"), [("learned", 0.5), ("improved", 0.7)])
def test_learned_blends_start_at_one_share_everywhere(blend, start):
    model = tiny_model(SCORERS[str(v.DualBranch(blend))])
    model.begin_task(TASKS[0], 0)
    move(model.flow, 1)
    x = product_features("a", 3)
    with torch.no_grad():
        placed, unplaced = model.likelihood(x, "a").nll, model.likelihood_in_place(x, "a").nll
        assert (placed - unplaced).abs().min() > 1e-3
        torch.testing.assert_close(model.scorer(model, x, "a"), start * placed + (1 - start) * unplaced)


@pytest.mark.parametrize(("blend", "low", "high"), [(LearnedBlend(6), 0.0, 1.0), (ImprovedBlend(6), 0.3, 0.9)])
def test_a_blends_share_stays_in_its_bounds(blend, low, high):
    begun(blend)
    x = torch.randn(1, 2, 2, 6, generator=torch.Generator().manual_seed(0))
    for bias, bound in ((-100.0, low), (100.0, high)):
        torch.nn.init.constant_(blend.affine["a"].bias, bias)
        torch.testing.assert_close(blend(x, PLACED, UNPLACED, "a"), torch.full((1, 2, 2), bound))


def test_the_improved_blend_is_told_the_difference_per_channel():
    blend = begun(ImprovedBlend(4))
    with torch.no_grad():
        blend.affine["a"].weight[-1] = 2.0
        blend.affine["a"].bias.zero_()
        alpha = blend(torch.ones(1, 2, 2, 4), PLACED, UNPLACED, "a")
    expected = 0.3 + 0.6 * torch.sigmoid(2 * torch.tensor([[[-1.0, 0.25], [0.5, 1.25]]]))
    torch.testing.assert_close(alpha, expected)


def test_the_learned_blend_looks_at_the_patchs_normed_features():
    blend = begun(LearnedBlend(2))
    with torch.no_grad():
        blend.affine["a"].weight[0] = 1.0
        alpha = blend(torch.tensor([[[[3.0, 1.0], [1.0, 9.0]]]]), PLACED[:, :1], UNPLACED[:, :1], "a")
    torch.testing.assert_close(alpha, torch.sigmoid(torch.tensor([[[1.0, -1.0]]])), rtol=1e-4, atol=1e-4)


def test_the_guided_blend_by_hand():
    placed = (PLACED - 3) / 3.5**0.5
    unplaced = torch.tensor([[[3.0, -1.0], [-1.0, -1.0]]]) / 3**0.5
    alpha = GuidedBlend()(torch.zeros(1, 2, 2, 4), PLACED, UNPLACED, "a")
    torch.testing.assert_close(alpha, torch.sigmoid(placed - unplaced))
    assert alpha[0, 0, 0] < 0.1 < 0.8 < alpha[0, 1, 1]


def test_equal_scores_guide_nowhere_and_give_finite_gradients():
    scores = torch.full((2, 3, 3), 7.0, requires_grad=True)
    alpha = GuidedBlend()(torch.zeros(2, 3, 3, 4), scores, scores.detach(), "a")
    assert (alpha == 0.5).all()
    within_image(scores).sum().backward()
    assert scores.grad.isfinite().all()


def test_dual_branch_weighs_the_score_with_position_by_the_share():
    class Paths(Template):
        def likelihood_in_place(self, x: Tensor, task: str) -> Latent:
            return self.likelihood(x + 1.0, task)

    class Quarter(GuidedBlend):
        def forward(self, features: Tensor, placed: Tensor, unplaced: Tensor, task: str) -> Tensor:
            return torch.full_like(placed, 0.25)

    scores = bare_energy(Paths(torch.zeros(2, 2, 4)), torch.ones(1, 2, 2, 4), DualBranch(Quarter()))
    torch.testing.assert_close(scores, torch.full((1, 2, 2), 0.25 * 4 + 0.75 * 16))


AROUND = {
    f"{slot} {one}": replace(TINY, **{"context": v.NoContext(), slot: one})
    for slot in ("position", "adapter", "context", "dia")
    for variant in variants_of(slots()[slot])
    for one in settings(variant)
}


@pytest.mark.parametrize("name", AROUND)
def test_a_patch_asked_about_alone_scores_what_it_scores_among_all(name: str) -> None:
    """Whatever looks at other patches sees all of them."""
    model = trained(["a"], AROUND[name])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.context.parameters():  # they start as the identity
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        features, places = product_features("a", 3), torch.tensor([[0, 5, 9], [15, 1, 2], [7, 7, 3]])
        everywhere = model.likelihood(features, "a").nll.flatten(1)
        asked = model.likelihood(features, "a", places).nll[:, 0]
    torch.testing.assert_close(asked, everywhere.gather(1, places))
