"""F4, F7, F9, F11: gates on the scale's context, separated flows, spectral norm, blended context."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.rules import apply_rules, shared_parts_keep_learning
from moleflow.config.run import FeatureConfig, RunConfig
from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.build.context import build_context
from moleflow.models.build.flow import build_flow
from moleflow.models.build.position import build_position
from moleflow.models.coupling import AffineCoupling
from moleflow.models.lora import LoRALinear, SharedLinear
from moleflow.models.spectral import SpectralBound, spectrally_bounded
from moleflow.models.subnets.cpcf import AttentionAround, CpcfSubnet, LearnedAround, MeanAround
from moleflow.models.subnets.gated_context import GatedContextSubnet
from moleflow.models.subnets.plain import PlainSubnet
from moleflow.models.subnets.scale_context import ScaleContextSubnet
from moleflow.models.task import base_state, begin_task, expert_state, learners, start_task
from moleflow.utils.errors import UsageError
from tests.fakes import TINY, tiny_model

A, B = Task(("a",), 0), Task(("b",), 1)
SHAPE = (3, 4, 6)
SMALL = AblationConfig(flow=v.Flow(layers=2), lora=v.Lora(rank=2), subnet=v.PlainSubnet())
LORA = partial(LoRALinear, rank=2, scale=0.5, bias=True, in_first=True)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(part: nn.Module, *tasks: Task, seed: int = 0) -> nn.Module:
    """The part in float64 with tasks and random parameters."""
    part.double()
    for task in tasks:
        begin_task(part, task, seed)
    part.double()
    with torch.no_grad():
        for index, parameter in enumerate(part.parameters()):
            parameter.add_(0.4 * drawn(*parameter.shape, seed=index))
    return part


def gated(max_alpha: float = 0.2) -> GatedContextSubnet:
    return GatedContextSubnet(2, 3, 5, SharedLinear, kernel=3, gate_hidden=4, max_alpha=max_alpha)


def test_f4_starts_as_f3_with_its_usual_alpha():
    gate, one = gated(), ScaleContextSubnet(2, 3, 5, SharedLinear, kernel=3, init_scale=0.1, max_alpha=0.2)
    for mine, theirs in (("context", "context"), ("scale_in", "scale_in"), ("shift_in", "shift_in")):
        getattr(gate, mine).load_state_dict(getattr(one, theirs).state_dict())
    for subnet in (gate, one):
        nn.init.ones_(subnet.scale_out.base.weight)
    x = drawn(2, 3, 4, 2).float()
    torch.testing.assert_close(gate(x, "a"), one(x, "a"))


def test_f4_weighs_the_context_of_each_patch_by_a_perceptron_of_both():
    subnet = moved(gated(max_alpha=0.3))
    x, around = drawn(2, 3, 4, 2), drawn(2, 3, 4, 2, seed=2)
    enter, leave = subnet.gate[0], subnet.gate[2]
    hidden = (torch.cat([x, around], -1) @ enter.weight.T + enter.bias).clamp(min=0)
    expected = 0.3 / (1 + torch.exp(-(hidden @ leave.weight.T + leave.bias)))
    alpha = subnet.alpha(x, around)
    torch.testing.assert_close(alpha, expected)
    assert alpha.shape == (2, 3, 4, 1)
    assert alpha.std() > 0.005, "one alpha for all patches"


def test_f4s_gate_acts_on_the_scale_alone():
    subnet = moved(gated())
    x = drawn(1, 3, 4, 2)
    scale, shift = subnet(x, "a")
    with torch.no_grad():
        subnet.gate[2].bias += 2
    other_scale, other_shift = subnet(x, "a")
    assert torch.equal(shift, other_shift)
    assert (scale - other_scale).abs().max() > 1e-3


@pytest.mark.parametrize(
    "alpha", [gated, partial(ScaleContextSubnet, 2, 3, 5, SharedLinear, 3, 0.1, 0.2)], ids=["F4", "F3"]
)
def test_the_shift_of_f3_and_f4_sees_its_patch_alone(alpha):
    subnet, x = moved(alpha()), drawn(1, 3, 4, 2)
    nudged = x.clone()
    nudged[0, 0, 0] += 1
    (scale, shift), (other_scale, other_shift) = subnet(x, "a"), subnet(nudged, "a")
    assert torch.equal(shift[0, 0, 1], other_shift[0, 0, 1])
    assert (scale[0, 0, 1] - other_scale[0, 0, 1]).abs().max() > 1e-4


def test_f11s_mean_is_over_the_neighbours_there_are():
    x = torch.arange(12.0).view(1, 1, 3, 4)
    mean = MeanAround(3)(x)[0, 0]
    assert mean[0, 0] == (0 + 1 + 4 + 5) / 4
    assert mean[0, 1] == (0 + 1 + 2 + 4 + 5 + 6) / 6
    assert mean[1, 1] == 5


@pytest.mark.parametrize("around", [LearnedAround(2, 3), AttentionAround(2, 3)], ids=["learned", "attention"])
def test_f11s_other_contexts_start_as_the_mean(around):
    x = drawn(2, 2, 3, 4)
    torch.testing.assert_close(around.double()(x), MeanAround(3)(x))


def test_f11s_learned_weights_by_hand():
    around = LearnedAround(1, 3).double()
    with torch.no_grad():
        around.a[0, 4] = torch.tensor(8.0).log()  # the patch counts as much as all its eight neighbours
        around.a[0, 5] = torch.tensor(3.0).log()  # and its right neighbour three times
    x = drawn(1, 1, 3, 4)
    grid = x[0, 0]
    inner = (grid[0:3, 0:3].sum() + 7 * grid[1, 1] + 2 * grid[1, 2]) / 18
    corner = (grid[0:2, 2:4].sum() + 7 * grid[0, 3]) / 11
    torch.testing.assert_close(around(x)[0, 0, 1, 1], inner)
    torch.testing.assert_close(around(x)[0, 0, 0, 3], corner)


def test_f11s_attention_by_hand():
    around = moved(AttentionAround(8, 3))
    x = drawn(1, 8, 1, 2)
    left, right = x[0, :, 0, 0], x[0, :, 0, 1]
    query, key = around.query.weight[..., 0, 0] @ left, around.key.weight[..., 0, 0]
    weights = torch.softmax(torch.stack([query @ key @ left, query @ key @ right]) / 2**0.5, 0)
    torch.testing.assert_close(around(x)[0, :, 0, 0], weights[0] * left + weights[1] * right)
    assert (weights - 0.5).abs().max() > 0.01


def test_f11_sees_the_patch_and_the_blend():
    subnet = moved(CpcfSubnet(2, 3, 5, SharedLinear, 3, "mean"))
    x = drawn(1, 3, 4, 2)
    neighbours = x[:, 0:3, 1:4].mean((1, 2))
    seen = torch.cat([x[:, 1, 2], 0.7 * x[:, 1, 2] + 0.3 * neighbours], -1)
    scale, shift = subnet(x, "a")
    expected = subnet.subnet(seen[:, None, None], "a")
    torch.testing.assert_close((scale[:, 1:2, 2:3], shift[:, 1:2, 2:3]), expected)


def of_one_patch(wide: CpcfSubnet) -> PlainSubnet:
    """The plain subnet whose first weights are the sums of those on x and of those on its copy."""
    plain = moved(PlainSubnet(3, 3, 5, LORA), A)
    folded = {name: value.clone() for name, value in wide.subnet.state_dict().items()}
    for name in ("enter.base.weight", "enter.deltas.copies.task:a.A"):
        on_patch, on_context = folded[name].chunk(2, dim=1)
        folded[name] = on_patch + on_context
    plain.load_state_dict(folded)
    return plain


@pytest.mark.parametrize("around", ["mean", "learned", "attention"])
def test_f11_with_a_1x1_context_is_the_plain_coupling(around):
    wide = moved(CpcfSubnet(3, 3, 5, LORA, 1, around), A)
    couplings = [
        AffineCoupling([SHAPE], subnet=lambda passive, active, subnet=subnet: subnet, clamp=1.9, flip=False)
        for subnet in (wide, of_one_patch(wide))
    ]
    x = drawn(2, *SHAPE)
    (halves, logdet), (its_halves, its_logdet) = (coupling(x.chunk(2, dim=-1), c=["a"]) for coupling in couplings)
    z, expected = torch.cat(halves, dim=-1), torch.cat(its_halves, dim=-1)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet, its_logdet, rtol=0, atol=1e-12)
    assert (z - x).abs().max() > 0.1


def test_f11s_flag_for_attention_chooses_it():
    for options, kind in (
        ({}, MeanAround),
        ({"mode": "learned"}, LearnedAround),
        ({"attention": True}, AttentionAround),
    ):
        flow = build_flow(replace(SMALL, subnet=v.CpcfSubnet(**options)), SHAPE)
        assert sum(isinstance(module, kind) for module in flow.modules()) == 2


def test_f9_bounds_large_weights_and_leaves_small_ones():
    bound = SpectralBound(40).double()
    large, small = drawn(30, 40), 0.01 * drawn(30, 40)
    largest = torch.linalg.matrix_norm(large, 2)
    torch.testing.assert_close(bound(large), large / largest, rtol=0.01, atol=0)
    assert torch.equal(bound(small), small)
    assert torch.equal(bound(torch.zeros(30, 40)), torch.zeros(30, 40))


def test_f9s_gradient_is_the_exact_norms():
    weight = drawn(5, 3).requires_grad_()
    sees = drawn(5, 3, seed=2)
    (mine,) = torch.autograd.grad((SpectralBound(3).double()(weight) * sees).sum(), weight)
    (exact,) = torch.autograd.grad((weight / torch.linalg.matrix_norm(weight, 2) * sees).sum(), weight)
    torch.testing.assert_close(mine, exact)


def bounded() -> nn.Module:
    return moved(spectrally_bounded(6, 4, linear=LORA), A, B)


def test_f9_bounds_the_base_and_then_adds_the_delta():
    layer = bounded()
    with torch.no_grad():
        layer.base.parametrizations.weight.original.mul_(5)
    delta, x = layer.deltas["b"], drawn(2, 3, 4, 6)
    original = layer.base.parametrizations.weight.original
    weight = original / torch.linalg.matrix_norm(original, 2) + 0.5 * delta.B @ delta.A
    expected = F.linear(x, weight, layer.base.bias + delta.bias)
    torch.testing.assert_close(layer(x, "b"), expected)


def test_f9_frozen_weights_are_folded_once_and_follow_a_copy():
    layer = bounded().requires_grad_(False)
    x = drawn(2, 3, 4, 6)
    other = copy.deepcopy(layer)
    before = layer(x, "b")
    assert torch.equal(layer(x, "b"), before)
    assert torch.equal(other(x, "b"), before)
    assert "b" in layer._merged
    assert not [name for name in layer.state_dict() if "start" in name]


def test_f9s_flag_bounds_every_shared_weight_of_the_flow():
    flow = moved(build_flow(replace(SMALL, flow=v.Flow(layers=2, spectral_norm=True)), SHAPE), A)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(10)
    norms = [torch.linalg.matrix_norm(part.weight, 2) for part in flow.modules() if isinstance(part, nn.Linear)]
    assert len(norms) == 4
    assert max(norms) < 1 + 1e-6


SEPARATED = replace(SMALL, sharing=v.Separated())
OWNED = {
    "flow": (build_flow, {}),
    "flow with full deltas": (build_flow, {"lora": v.FullDelta()}),
    "flow with spatial deltas": (build_flow, {"lora": v.SpatialLora(rank=2, grid_size=2)}),
    "flow with context": (build_flow, {"subnet": v.CpcfSubnet(mode="learned")}),
    "context": (build_context, {}),
    "relative position": (build_position, {"position": v.RelativePosition()}),
    "content position": (build_position, {"position": v.ContentPosition(3)}),
    "hybrid position": (build_position, {"position": v.HybridPosition(3)}),
}


def owned(name: str, *tasks: Task) -> nn.Module:
    """A separated part with tasks."""
    build, options = OWNED[name]
    part = build(replace(SEPARATED, **options), SHAPE)
    for task in tasks:
        begin_task(part, task, seed=0)
    return part


@pytest.mark.parametrize("name", OWNED)
def test_f7_leaves_nothing_shared(name):
    part = owned(name, A, B)
    assert base_state(part) == {}
    for task in (A, B):
        learning = list(learners(part, task))
        assert not any(learner.shared for learner in learning)
        assert {id(learner.parameter) for learner in learning} == {
            id(each) for each in part.own[task.name].parameters()
        }


@pytest.mark.parametrize("name", ["flow", "flow with full deltas", "flow with spatial deltas", "flow with context"])
def test_f7s_tasks_start_apart_by_their_names_alone(name):
    both, alone = owned(name, A, B), owned(name, Task(("b",), 5))
    of_a, of_b, again = expert_state(both, "a"), expert_state(both, "b"), expert_state(alone, "b")
    assert all(torch.equal(value, again[key]) for key, value in of_b.items())
    key = next(key for key in of_b if "enter.base.weight" in key)
    assert not torch.equal(of_a[key.replace("task:b", "task:a")], of_b[key])


def test_f7_one_tasks_weights_do_not_move_anothers_output():
    part, x = owned("flow with full deltas", A, B), drawn(2, *SHAPE).float()
    moved(part.own["b"]).float()
    z, _ = part(x, "b")
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(part.inverse(z, "b"), x, rtol=0, atol=1e-4)
    torch.testing.assert_close(part(x, "a")[0], x)


def test_f7_each_task_has_the_codebook_of_its_own_features():
    part = owned("content position", A, B)
    for task, seed in ((A, 1), (B, 2)):
        features = drawn(5, *SHAPE, seed=seed).float()
        start_task(part, task, lambda features=features: [Batch(features, torch.zeros(5, dtype=torch.long))])
    books = [part.own[task].codebook for task in "ab"]
    assert all(book.is_learned for book in books)
    assert not torch.equal(books[0].prototypes, books[1].prototypes)


def test_f7_leaves_nothing_to_protect_and_no_base_to_bring():
    always = replace(SEPARATED, flow=v.Flow(base_policy="always"))
    assert not shared_parts_keep_learning(always)
    assert shared_parts_keep_learning(replace(always, sharing=v.Shared()))
    brought = replace(SEPARATED, flow=v.Flow(base_policy="pretrained"))
    with pytest.raises(UsageError, match=r"--base_policy pretrained .* --use_task_separated"):
        apply_rules(brought, replace(RunConfig(), features=FeatureConfig(base_from="run")))


def test_f7_is_chosen_for_flow_context_and_position_alone():
    shared = build_flow(SMALL, SHAPE)
    begin_task(shared, A, 0)
    assert base_state(shared)
    assert list(build_position(SEPARATED, SHAPE).parameters()) == []


def test_an_unfrozen_scale_context_learns_in_every_task_and_only_it_does():
    config = replace(TINY, subnet=v.ScaleContextSubnet(kernel=3, freeze=False))
    model = tiny_model(config)
    for index, name in enumerate("ab"):
        model.begin_task(Task((name,), index), 0)
    later = [learner.name for learner in learners(model, Task(("b",), 1)) if learner.shared]
    around = [name for name, _ in model.named_parameters() if name.endswith("subnet.context.weight")]
    assert sorted(later) == sorted(around) != []
    frozen = tiny_model(replace(TINY, subnet=v.ScaleContextSubnet(kernel=3)))
    frozen.begin_task(Task(("b",), 1), 0)
    assert not [learner.name for learner in learners(frozen, Task(("b",), 1)) if learner.shared]
