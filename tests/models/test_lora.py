"""Task deltas in linear layers."""

import pytest
import torch

from moleflow.config.task import Task
from moleflow.models.lora import LoRALinear
from moleflow.models.task import begin_task, tell_experts_changed

A, B = Task(("a",), 0), Task(("b",), 1)


def layer(rank: int = 3, scale: float = 0.5, bias: bool = True, in_first: bool = True) -> LoRALinear:
    torch.manual_seed(0)
    made = LoRALinear(6, 4, rank, scale, bias, in_first)
    for task in (A, B):
        begin_task(made, task, seed=0)
    return made


def moved(made: LoRALinear) -> LoRALinear:
    """The same layer with random deltas, away from the zero start."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.deltas.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


X = torch.randn(5, 2, 6, generator=torch.Generator().manual_seed(2))


def test_a_new_task_starts_at_the_base():
    made = layer()
    torch.testing.assert_close(made(X, "a"), made.base(X))


def test_the_delta_is_scale_times_b_a():
    made = moved(layer())
    delta = made.deltas["b"]
    expected = made.base(X) + 0.5 * (X @ delta.A.T) @ delta.B.T + delta.bias
    torch.testing.assert_close(made(X, "b"), expected)
    assert not torch.allclose(made(X, "a"), made(X, "b"))


def test_first_task_without_delta_and_deltas_without_bias():
    made = moved(layer(in_first=False, bias=False))
    assert torch.equal(made(X, "a"), made.base(X))
    assert not torch.allclose(made(X, "b"), made.base(X))
    assert [name for name, _ in made.deltas["b"].named_parameters()] == ["A", "B"]


def test_rank_is_cut_to_the_layer():
    assert layer(rank=64).deltas["a"].A.shape == (4, 6)


def test_folded_weights_follow_their_expert():
    made = moved(layer()).requires_grad_(False)
    before = made(X, "b")
    assert torch.equal(made(X, "b"), before), "folded once, the same bits"
    with torch.no_grad():
        made.deltas["b"].B.mul_(2)
    tell_experts_changed(made)
    assert not torch.allclose(made(X, "b"), before)


def test_nothing_is_folded_while_a_task_learns():
    made = moved(layer())
    made(X, "b").sum().backward()
    assert not made._merged
    assert made.deltas["b"].A.grad.abs().sum() > 0
    assert made.deltas["a"].A.grad is None


@pytest.mark.parametrize("seed", [0, 1])
def test_first_weights_depend_on_seed_and_name_only(seed):
    alone = LoRALinear(6, 4, 3, 0.5, True, True)
    begin_task(alone, Task(("b",), 7), seed)
    both = LoRALinear(6, 4, 3, 0.5, True, True)
    for task in (A, B):
        begin_task(both, task, seed)
    assert torch.equal(alone.deltas["b"].A, both.deltas["b"].A)
    assert not torch.equal(both.deltas["a"].A, both.deltas["b"].A)
