"""Task deltas in linear layers."""

from functools import partial

import pytest
import torch

from moleflow.config.task import Task
from moleflow.models.full_delta import FullDeltaLinear
from moleflow.models.lora import DeltaLinear, LoRALinear, TaskLinear
from moleflow.models.spatial_lora import SpatialLoRALinear, hat_weights
from moleflow.models.task import begin_task, tell_experts_changed

A, B = Task(("a",), 0), Task(("b",), 1)


def begun(made: TaskLinear) -> TaskLinear:
    """The layer with two tasks."""
    for task in (A, B):
        begin_task(made, task, seed=0)
    return made


def layer(rank: int = 3, scale: float = 0.5, bias: bool = True, in_first: bool = True) -> LoRALinear:
    torch.manual_seed(0)
    return begun(LoRALinear(6, 4, rank, scale, bias, in_first))


def full(bias: bool = True, in_first: bool = True) -> FullDeltaLinear:
    torch.manual_seed(0)
    return begun(FullDeltaLinear(6, 4, bias, in_first))


def spatial(nodes: int = 3, bias: bool = True, in_first: bool = True) -> SpatialLoRALinear:
    torch.manual_seed(0)
    return begun(SpatialLoRALinear(6, 4, 3, 0.5, bias, in_first, nodes))


def moved(made: TaskLinear) -> TaskLinear:
    """The same layer with random deltas, away from the zero start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.deltas.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


X = torch.randn(5, 2, 6, generator=torch.Generator().manual_seed(2))
GRID = torch.randn(2, 5, 7, 6, generator=torch.Generator().manual_seed(3))
FOLDED = {"low rank": layer, "full": full}
LAYERS = {**FOLDED, "spatial": spatial}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_new_task_starts_at_the_base(make):
    made = make()
    torch.testing.assert_close(made(GRID, "a"), made.base(GRID))


def test_the_delta_is_scale_times_b_a():
    made = moved(layer())
    delta = made.deltas["b"]
    expected = made.base(X) + 0.5 * (X @ delta.A.T) @ delta.B.T + delta.bias
    torch.testing.assert_close(made(X, "b"), expected)
    assert not torch.allclose(made(X, "a"), made(X, "b"))


def test_a_full_delta_is_any_matrix():
    made = moved(full())
    delta = made.deltas["b"]
    torch.testing.assert_close(made(X, "b"), made.base(X) + X @ delta.weight.T + delta.bias)
    assert torch.linalg.matrix_rank(delta.weight) == 4


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_first_task_without_delta_and_deltas_without_bias(make):
    made = moved(make(in_first=False, bias=False))
    assert torch.equal(made(GRID, "a"), made.base(GRID))
    assert not torch.allclose(made(GRID, "b"), made.base(GRID))
    assert "bias" not in dict(made.deltas["b"].named_parameters())


def test_rank_is_cut_to_the_layer():
    assert layer(rank=64).deltas["a"].A.shape == (4, 6)
    assert SpatialLoRALinear(6, 4, 64, 1.0, True, True, 2).deltas.make(B).A.shape == (2, 2, 4, 6)


@pytest.mark.parametrize("make", FOLDED.values(), ids=FOLDED)
def test_folded_weights_follow_their_expert(make):
    made = moved(make()).requires_grad_(False)
    before = made(X, "b")
    assert torch.equal(made(X, "b"), before), "folded once, the same bits"
    with torch.no_grad():
        for parameter in made.deltas["b"].parameters():
            parameter.mul_(2)
    assert torch.equal(made(X, "b"), before), "kept"
    tell_experts_changed(made)
    assert not torch.allclose(made(X, "b"), before)


@pytest.mark.parametrize("make", FOLDED.values(), ids=FOLDED)
def test_nothing_is_folded_while_a_task_learns(make):
    made: DeltaLinear = moved(make())
    made(X, "b").sum().backward()
    assert not made._merged
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.deltas["b"].parameters())
    assert all(parameter.grad is None for parameter in made.deltas["a"].parameters())


@pytest.mark.parametrize("make", FOLDED.values(), ids=FOLDED)
def test_a_look_before_or_during_training_does_not_stop_it(make):
    made = moved(make()).requires_grad_(False)
    with torch.no_grad():
        made(X, "b")
    made.deltas["b"].requires_grad_(True)
    with torch.no_grad():
        made(X, "b")
    made(X, "b").sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.deltas["b"].parameters())


@pytest.mark.parametrize("seed", [0, 1])
def test_first_weights_depend_on_seed_and_name_only(seed):
    alone = LoRALinear(6, 4, 3, 0.5, True, True)
    begin_task(alone, Task(("b",), 7), seed)
    both = LoRALinear(6, 4, 3, 0.5, True, True)
    for task in (A, B):
        begin_task(both, task, seed)
    assert torch.equal(alone.deltas["b"].A, both.deltas["b"].A)
    assert not torch.equal(both.deltas["a"].A, both.deltas["b"].A)


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_equal_nodes_make_spatial_lora_lora(nodes):
    plain, spread = moved(layer()).double(), spatial(nodes).double()
    spread.base.load_state_dict(plain.base.state_dict())
    with torch.no_grad():
        for task in "ab":
            own, same = spread.deltas[task], plain.deltas[task]
            own.A.copy_(same.A.expand_as(own.A))
            own.B.copy_(same.B.expand_as(own.B))
            own.bias.copy_(same.bias)
            torch.testing.assert_close(spread(GRID.double(), task), plain(GRID.double(), task), rtol=0, atol=1e-12)


def test_spatial_lora_starts_with_the_matrices_of_lora():
    plain, spread = layer().deltas["b"], spatial().deltas["b"]
    assert torch.equal(spread.A, plain.A.expand(3, 3, -1, -1))
    assert spread.B.abs().max() == 0


def test_hats_are_linear_between_nodes():
    expected = torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]])
    torch.testing.assert_close(hat_weights(5, 3, X), expected)
    torch.testing.assert_close(hat_weights(14, 4, X).sum(1), torch.ones(14))
    assert torch.equal(hat_weights(1, 3, X), torch.tensor([[1.0, 0, 0]]))


def as_picture(nodes: torch.Tensor) -> torch.Tensor:
    """Matrices (G, G, r, c) enlarged to 5×7 patches as a picture is: (5, 7, r, c)."""
    channels = nodes.permute(2, 3, 0, 1).flatten(0, 1)[None]
    large = torch.nn.functional.interpolate(channels, (5, 7), mode="bilinear", align_corners=True)
    return large[0].view(*nodes.shape[2:], 5, 7).permute(2, 3, 0, 1)


def test_matrices_are_interpolated_bilinearly_as_pictures_are():
    made = moved(spatial(nodes=4))
    delta = made.deltas["b"]
    matrices = 0.5 * as_picture(delta.B) @ as_picture(delta.A)
    expected = made.base(GRID) + (matrices @ GRID.unsqueeze(-1)).squeeze(-1) + delta.bias
    torch.testing.assert_close(made(GRID, "b"), expected)


def test_a_patch_gets_the_product_of_its_place_by_hand():
    made = moved(spatial(nodes=2, bias=False))
    delta = made.deltas["b"]
    with torch.no_grad():
        change = made(GRID[:, :3, :3], "b") - made.base(GRID[:, :3, :3])
        corner = 0.5 * delta.B[0, 1] @ delta.A[0, 1] @ GRID[1, 0, 2]
        middle = 0.5 * delta.B.mean((0, 1)) @ delta.A.mean((0, 1)) @ GRID[1, 1, 1]
    torch.testing.assert_close(change[1, 0, 2], corner)
    torch.testing.assert_close(change[1, 1, 1], middle)


def test_a_node_acts_near_it_and_nowhere_else():
    made = moved(spatial(nodes=3))
    x = GRID[:, :, :5]
    before = made(x, "b")
    with torch.no_grad():
        made.deltas["b"].B[0, 0] += 1
    differs = (made(x, "b") - before).abs().amax((0, 3)) > 1e-6
    assert differs[:2, :2].all()
    assert differs.sum() == 4


@pytest.mark.parametrize("make", [full, partial(spatial, 2)], ids=["full", "spatial"])
def test_an_expert_of_either_kind_makes_a_round_trip(make):
    source, target = moved(make()), make()
    target.deltas["b"].load_state_dict(source.deltas["b"].state_dict())
    torch.testing.assert_close(target(GRID, "b"), source(GRID, "b"))
    torch.testing.assert_close(target(GRID, "a"), target.base(GRID))
