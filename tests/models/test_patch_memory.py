"""V3's distances: how right they are, from files and from memory, and what stays ready to be multiplied with."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, trained

from moleflow.config import variants as v
from moleflow.models.task import tell_experts_changed
from moleflow.models.views.patch_memory import Bank

VIEWED = replace(TINY, patch_memory=v.PatchMemory(size=20, poolings=(1,)))


def test_distances_of_many_patches_are_right_to_a_few_thousandths_whatever_their_channels_span():
    random = torch.Generator().manual_seed(0)
    spans = torch.logspace(1, -2, 96)
    bank = Bank(500, 97)
    bank.keep(torch.cat([torch.randn(500, 96, generator=random) * spans, torch.full((500, 1), 7.0)], dim=1))
    near, far = (torch.randn(2, 600, 97, generator=random) * torch.cat([spans, torch.ones(1)]) * by for by in (1, 100))
    for seen in (near, far, near + 1000):
        expected = torch.cdist(seen.double(), bank.patches.double()).amin(2)
        assert (bank(seen) / expected - 1).abs().max() < 0.005
    assert bank(bank.patches[None]).max() < 0.01 * bank(near).mean()


@pytest.mark.parametrize("size", [3, 40])
def test_a_memory_is_the_same_from_a_file(size: int):
    bank, other = Bank(size, 5), Bank(size, 5)
    seen = torch.randn(1, 9, 5, generator=torch.Generator().manual_seed(0))
    bank.keep(seen[0, torch.arange(size) % 9])
    other.load_state_dict({name: tensor.contiguous() for name, tensor in bank.state_dict().items()})
    assert torch.equal(other.codes, bank.codes)
    assert torch.equal(other(seen), bank(seen))


def test_the_factor_of_one_memory_is_at_hand_and_the_others_are_put_away():
    model = trained(["a", "b"], VIEWED)
    memory, features = model.fusion.views[0], product_features("a", 2, seed=5)
    first = memory(features, "a")
    assert torch.equal(memory(features, "a"), first)
    ready = lambda: [task for task in "ab" if memory.banks[task]._ready is not None]
    assert ready() == ["a"]
    memory(features, "b")
    assert ready() == ["b"]
    assert torch.equal(memory(features, "a"), first)
    tell_experts_changed(model)
    assert ready() == []
