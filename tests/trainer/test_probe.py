"""A probe says the same of the same expert, whatever multiplies and whomever the flow would be asked about."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, trained

from moleflow.config import variants as v
from moleflow.extractors.batch import Batch
from moleflow.models.scoring.ground import GroundWeight
from moleflow.models.task import tell_experts_changed
from moleflow.trainer.probe import TOLERANCE, largest_difference, take_probe
from moleflow.utils import products

ASKED_LITTLE = replace(
    TINY,
    patch_memory=v.PatchMemory(size=20, poolings=(1,)),
    map_source=v.MapOfFinest(flow_share=0.2),
    position=v.ConditionalPosition(4),
    context=v.NoContext(),
)


def probed(config=ASKED_LITTLE):
    model = trained(["a"], config)
    features = product_features("a", 4, seed=5)
    return model, take_probe(model, "a", lambda: [Batch(features, torch.zeros(4, dtype=torch.long))])


@pytest.mark.parametrize("units", [True, False])
def test_a_probe_does_not_hang_on_quick_distances(units: bool, monkeypatch: pytest.MonkeyPatch):
    model, probe = probed()
    monkeypatch.setattr(products, "has_units_for_bfloat16", lambda device: units)
    assert largest_difference(model, "a", probe) == 0
    quick = model.score_as(probe["features"].float(), "a").patches
    assert (quick - probe["patches"]).abs().max() > TOLERANCE * probe["patches"].abs().max(), "they would differ"


def test_a_probe_does_not_hang_on_whom_the_flow_is_asked_about():
    model, probe = probed()
    assert not model.fusion.asks_all
    model.fusion.flow_share = 0.5
    assert largest_difference(model, "a", probe) == 0
    assert model.fusion.flow_share == 0.5


def test_an_older_probe_of_few_asked_patches_is_held_to_its_map():
    model, probe = probed()
    del probe["asked_all"]
    probe["images"] = probe["images"] + 5
    assert largest_difference(model, "a", probe) == 0
    probe["patches"] = probe["patches"] * 1.01
    assert largest_difference(model, "a", probe) > TOLERANCE


def test_another_expert_is_told_by_its_probe():
    model, probe = probed(replace(ASKED_LITTLE, border=v.GroundWeight()))
    assert isinstance(model.border, GroundWeight)
    model.border.grounds["a"].weight.mul_(0.9)
    assert largest_difference(model, "a", probe) > TOLERANCE
    model, probe = probed()
    model.flow.blocks.module_list[0].subnet.subnet.leave.deltas["a"].B.data.add_(0.1)
    tell_experts_changed(model)
    assert largest_difference(model, "a", probe) > TOLERANCE
