"""Contexts: their starts, what each lets a patch see, formulas by hand, small grids, who owns what."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, tiny_model, trained
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config import variants as v
from moleflow.config.task import Task
from moleflow.models.build.context import build_context
from moleflow.models.context.attention import GlobalContext, PatchAttention
from moleflow.models.context.multi_scale import MultiScaleContext, TaskMultiScaleContext
from moleflow.models.context.semantic_projector import SemanticProjector
from moleflow.models.context.shared import depthwise
from moleflow.models.context.spatial_mixer import TaskAdaptiveMixer
from moleflow.models.coupling import first_task_only
from moleflow.models.task import base_state, begin_task, expert_state, learners

FIRST, SECOND = Task(("a",), 0), Task(("b",), 1)
CONTEXTS = {
    "X1": v.SpatialMixer(), "X2": v.MultiScaleContext(), "X3": v.TaskMultiScaleContext(), "X4": v.PatchAttention(),
    "X5": v.TaskAdaptiveMixer(), "X6": v.GlobalContext(), "X7": v.SemanticProjector(),
}  # fmt: skip
DIM = 6


def built(context, grid=(9, 9), dim=DIM):
    """The part as it starts, with two tasks."""
    torch.manual_seed(0)
    part = build_context(replace(TINY, context=context), (*grid, dim))
    for task in (FIRST, SECOND):
        begin_task(part, task, 0)
    return part.requires_grad_(False)


def moved(part):
    """The part away from its start."""
    generator = torch.Generator().manual_seed(1)
    for parameter in part.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return part.double()


def grid_of(height: int, width: int, dim: int = DIM) -> Tensor:
    return torch.randn(2, height, width, dim, generator=torch.Generator().manual_seed(2))


def seen_from_the_corner(part) -> Tensor:
    """Which patches of a 9×9 grid change the output of patch (0, 0), (9, 9) bool."""
    x = grid_of(9, 9).double()[:1]
    corner = lambda grid: part(grid, "a")[0, 0, 0]
    return torch.autograd.functional.jacobian(corner, x)[:, 0].abs().sum(dim=(0, -1)) > 1e-12


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_start_as_the_identity_and_then_mix(name):
    part, x = built(CONTEXTS[name]), grid_of(9, 9)
    assert torch.equal(part(x, "a"), x)
    assert seen_from_the_corner(moved(part)).sum() > 1


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (3, 2)])
def test_contexts_work_on_grids_smaller_than_regions_and_kernels(name, grid):
    part = moved(built(CONTEXTS[name], grid))
    y = part(grid_of(*grid).double(), "a")
    assert y.shape == (2, *grid, DIM)
    assert torch.isfinite(y).all()


def test_multi_scale_sees_neighbours_at_one_two_and_four():
    part = moved(built(v.MultiScaleContext()))
    expected = torch.zeros(9, 9, dtype=torch.bool)
    for step in (1, 2, 4):
        expected[: step + 1 : step, : step + 1 : step] = True
    assert torch.equal(seen_from_the_corner(part), expected)


def test_multi_scale_by_hand():
    part = MultiScaleContext(1, first_task_only).requires_grad_(False)
    for branch in part.branches:
        branch.weight.fill_(0.0)
        branch.weight[..., 1, 2] = 1.0  # the neighbour to the right
        branch.bias.fill_(0.0)
    part.fusion.weight.copy_(torch.tensor([[1.0, 10.0, 100.0]]))
    part.gate.fill_(1.0)
    x = torch.arange(9.0).reshape(1, 1, 9, 1)
    right = lambda step: x[:, :, [min(column + step, 8) for column in range(9)]]
    expected = x + torch.sigmoid(torch.tensor(1.0)) * (right(1) + 10 * right(2) + 100 * right(4))
    torch.testing.assert_close(part(x, "a"), expected)


def test_task_multi_scale_weighs_each_scale_and_gates_for_each_task():
    shared, part = moved(built(v.MultiScaleContext())), moved(built(v.TaskMultiScaleContext()))
    assert isinstance(part, TaskMultiScaleContext)
    part.branches, part.fusion = shared.branches, shared.fusion
    x = grid_of(9, 9).double()
    for task, gate, weights in (("a", 0.7, (1.0, 1.0, 1.0)), ("b", -0.4, (0.0, 2.0, 0.0))):
        part.own[task].gate.fill_(gate)
        part.own[task].weights.copy_(torch.tensor(weights)[:, None])
    shared.gate.fill_(0.7)
    torch.testing.assert_close(part(x, "a"), shared(x, "a"))
    only_second = torch.zeros(2, 9, 9, 3, DIM, dtype=torch.float64)
    only_second[..., 1, :] = 2 * shared.around(x)[..., 1, :]
    torch.testing.assert_close(part(x, "b"), x + torch.sigmoid(torch.tensor(-0.4)) * shared.fused(only_second))


def test_task_adaptive_mixer_is_the_mixer_with_an_affine_map_of_the_tasks_own():
    mixer, part = moved(built(v.SpatialMixer())), moved(built(v.TaskAdaptiveMixer()))
    assert isinstance(part, TaskAdaptiveMixer)
    part.depthwise, part.pointwise = mixer.depthwise, mixer.pointwise
    x, mixed = grid_of(9, 9).double(), mixer.mixed(grid_of(9, 9).double())
    own = part.own["a"]
    own.gate.copy_(mixer.gate)
    own.scale.fill_(1.0)
    own.bias.fill_(0.0)
    torch.testing.assert_close(part(x, "a"), mixer(x, "a"))
    own.scale.fill_(3.0)
    own.bias.fill_(-2.0)
    torch.testing.assert_close(part(x, "a"), x + torch.sigmoid(own.gate) * (3 * mixed - 2))


def test_patch_attention_by_hand():
    part = moved(built(v.PatchAttention(), (2, 2)))
    assert isinstance(part, PatchAttention)
    x = grid_of(2, 2).double()
    patches = x.flatten(1, 2)
    normed = F.layer_norm(patches, (DIM,))
    attention = part.attention
    weights = torch.softmax(attention.query(normed) @ attention.key(normed).mT / DIM**0.5, dim=-1)
    attended = part.out(weights @ attention.value(normed))
    update = attended + part.perceptron(F.layer_norm(patches + attended, (DIM,)))
    torch.testing.assert_close(part(x, "a"), x + part.gate * update.view_as(x))


def test_patch_attention_sees_everything_and_knows_no_order():
    part = moved(built(v.PatchAttention()))
    assert seen_from_the_corner(part).all()
    x, order = grid_of(3, 3).double(), torch.randperm(9, generator=torch.Generator().manual_seed(3))
    shuffled = x.flatten(1, 2)[:, order].view_as(x)
    torch.testing.assert_close(part(shuffled, "a").flatten(1, 2), part(x, "a").flatten(1, 2)[:, order])


@pytest.mark.parametrize(("grid", "regions"), [((8, 8), 4), ((7, 9), 4), ((14, 14), 4), ((5, 5), 1)])
def test_region_tokens_are_those_of_adaptive_pooling(grid, regions):
    part = built(v.GlobalContext(regions), grid)
    x = grid_of(*grid)
    pooled = F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), regions).permute(0, 2, 3, 1)
    torch.testing.assert_close(part.regions(x), pooled.flatten(1, 2))


def test_small_grids_have_a_region_for_each_patch():
    part = built(v.GlobalContext(4), (3, 2))
    x = grid_of(3, 2)
    assert torch.equal(part.regions(x), x.flatten(1, 2))


def test_gates_of_global_context_and_semantic_projector_start_where_the_method_says():
    for part, gate in ((built(v.GlobalContext()), 0.1), (built(v.SemanticProjector()), 0.3)):
        assert isinstance(part, GlobalContext | SemanticProjector)
        part.out.bias.fill_(1.0)
        x = grid_of(9, 9)
        torch.testing.assert_close(part(x, "a") - x, torch.sigmoid(torch.tensor(gate)).expand_as(x))


def test_the_semantic_code_is_the_same_for_any_order_of_patches_and_sees_all():
    part = moved(built(v.SemanticProjector()))
    x, order = grid_of(9, 9).double(), torch.randperm(80, generator=torch.Generator().manual_seed(3)) + 1
    shuffled = torch.cat([x.flatten(1, 2)[:, :1], x.flatten(1, 2)[:, order]], dim=1).view_as(x)
    torch.testing.assert_close(part(shuffled, "a")[:, 0, 0], part(x, "a")[:, 0, 0])
    assert seen_from_the_corner(part).all()


@pytest.mark.parametrize(("ratio", "width"), [(0.5, 3), (0.01, 1), (2.0, 12)])
def test_the_semantic_bottleneck_is_a_share_of_the_channels(ratio, width):
    assert built(v.SemanticProjector(ratio)).encoder.out_features == width


@pytest.mark.parametrize("name", CONTEXTS)
@pytest.mark.parametrize(("policy", "first", "second"), [("first", True, False), ("always", True, True)])
def test_shared_weights_follow_the_freeze_policy_and_own_weights_always_learn(name, policy, first, second):
    config = replace(TINY, context=CONTEXTS[name], flow=v.Flow(base_policy=policy))
    if name == "X1":
        config = replace(config, context=v.SpatialMixer(freeze=True))
    part = build_context(config, (4, 4, DIM))
    for task, learns in ((FIRST, first), (SECOND, second)):
        begin_task(part, task, 0)
        found = list(learners(part, task))
        assert any(learner.shared for learner in found) == learns
        assert any(not learner.shared for learner in found) == (name in ("X3", "X5"))


@pytest.mark.parametrize("name", CONTEXTS)
def test_contexts_learn_in_the_first_task_and_are_frozen_in_the_second(name):
    config = replace(TINY, context=CONTEXTS[name])
    one, both = trained(["a"], config), trained(["a", "b"], config)
    x = product_features("a", 2)
    start = tiny_model(config)
    start.begin_task(FIRST, 0)
    assert not torch.equal(one.context(x, "a"), start.context(x, "a"))
    for state in (lambda model: expert_state(model, "a"), base_state):
        assert all(torch.equal(value, state(both)[name]) for name, value in state(one).items())
    own = [value for name, value in expert_state(both, "b").items() if name.startswith("context.")]
    assert all(not torch.equal(value, torch.full_like(value, float(value.ndim == 2))) for value in own)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (5, 1), (3, 2)])
def test_a_depthwise_convolution_repeats_the_grids_edge(kernel: int, dilation: int) -> None:
    mine = depthwise(3, kernel, dilation).double()
    torchs = nn.Conv2d(
        3, 3, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=3, padding_mode="replicate"
    )
    torchs.double().load_state_dict(mine.state_dict())
    x = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(mine(x), torchs(x))
