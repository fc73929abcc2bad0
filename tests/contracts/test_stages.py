"""Every part of the data path, moved away from identity: shapes, inverse, log-det against autograd, gradients.

The tables hold every variant of every slot, so a new variant is tested as soon as it exists.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.knobs import variants_of
from moleflow.config.resolve import slots
from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.build.adapter import build_adapter, build_dia
from moleflow.models.build.context import build_context
from moleflow.models.build.flow import build_flow
from moleflow.models.build.position import build_position
from moleflow.models.stages import InvertibleStage, Mapping, Stage
from moleflow.models.task import begin_task, start_task, trained_in

SHAPE = (2, 3, 5)
TASKS = (Task(("a",), 0), Task(("b",), 1))
SMALL = AblationConfig(flow=v.Flow(layers=3), lora=v.Lora(rank=2), subnet=v.PlainSubnet())
OPTIONS: dict[type, dict[str, Any]] = {
    v.Dia: {"blocks": 3, "hidden_ratio": 3.0}, v.ScaleContextSubnet: {"kernel": 3}, v.Lora: {"rank": 2},
    v.SpatialLora: {"rank": 2, "grid_size": 2}, v.PlainSubnet: {"hidden_ratio": 2.0},
    v.GatedContextSubnet: {"kernel": 3},
    v.ConditionalPosition: {"channels": 8}, v.ContentPosition: {"prototypes": 3}, v.HybridPosition: {"prototypes": 3},
    v.GlobalContext: {"regions": 2}, v.RelativePosition: {"max_distance": 2},
}  # fmt: skip


def small(slot: str, variant: type, **more: Any) -> AblationConfig:
    """A small configuration with one variant in its slot."""
    return replace(SMALL, **{slot: variant(**OPTIONS.get(variant, {})), **more})


def table(slot: str, build: Any, **more: Any) -> dict[str, Any]:
    """Name -> maker of the part, for every variant of a slot."""
    return {
        f"{slot}: {variant.__name__}": lambda variant=variant: build(small(slot, variant, **more), SHAPE)
        for variant in variants_of(slots()[slot])
    }


FLOWS = {
    **table("subnet", build_flow),
    **table("lora", build_flow),
    **table("sharing", build_flow),
    "flow told its position": lambda: build_flow(small("position", v.ConditionalPosition), SHAPE),
    "flow, spectral norm": lambda: build_flow(replace(SMALL, flow=v.Flow(layers=3, spectral_norm=True)), SHAPE),
    "flow, all of its own, spatial": lambda: build_flow(small("subnet", v.CpcfSubnet, sharing=v.Separated()), SHAPE),
}
STAGES = {**FLOWS, **table("adapter", build_adapter), **table("dia", build_dia)}
SEPARATED_CONTEXTS = table("context", build_context, sharing=v.Separated())
MAPPINGS = {
    **table("position", build_position),
    **table("context", build_context),
    **{f"{name}, separated": maker for name, maker in SEPARATED_CONTEXTS.items()},
}
LOOKS_AROUND = ("ScaleContextSubnet", "GatedContextSubnet", "CpcfSubnet", "spatial")
"""Stages of which only the log-det's sum over the grid is a determinant."""
NO_BIJECTIONS = ("adapter: WhiteningAdapter", "adapter: FilmAdapter", "adapter: InstanceNormAdapter")
INVERTIBLE = {name: maker for name, maker in STAGES.items() if name not in NO_BIJECTIONS}
PATCHWISE = {name: maker for name, maker in INVERTIBLE.items() if not name.endswith(LOOKS_AROUND)}
STAY_AS_THEY_ARE = ("adapter: NoAdapter", "dia: NoDia")


def batches() -> list[Batch]:
    """Features of five images of one class."""
    return [Batch(features(5, seed=3), torch.zeros(5, dtype=torch.long))]


def moved(make, seed: int = 0) -> nn.Module:
    """The part in float64 with two tasks, started on features, all parameters moved away from the identity start."""
    torch.manual_seed(seed)
    part = make()
    part.double()
    for task in TASKS:
        begin_task(part, task, seed)
        part.double()
        start_task(part, task, batches)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return part


def features(batch: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", STAGES)
def test_stages_keep_shapes_and_give_a_logdet_per_patch(name):
    stage = moved(STAGES[name])
    assert isinstance(stage, Stage)
    z, logdet = stage(features(), "a")
    assert z.shape == (2, *SHAPE)
    assert logdet.shape == (2, *SHAPE[:2])
    assert torch.isfinite(z).all()


@pytest.mark.parametrize("name", MAPPINGS)
def test_mappings_keep_shapes(name):
    mapping = moved(MAPPINGS[name])
    assert isinstance(mapping, Mapping)
    assert mapping(features(), "a").shape == (2, *SHAPE)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_inverse_undoes_forward(name):
    stage = moved(INVERTIBLE[name])
    assert isinstance(stage, InvertibleStage)
    x = features()
    z, _ = stage(x, "b")
    torch.testing.assert_close(stage.inverse(z, "b"), x, rtol=0, atol=1e-10)
    if name not in STAY_AS_THEY_ARE:
        assert (z - x).abs().max() > 0.1, "not moved away from the identity"


@pytest.mark.parametrize("name", PATCHWISE)
def test_logdet_is_the_jacobians_patch_by_patch(name):
    stage = moved(PATCHWISE[name])
    x = features(batch=1)
    _, logdet = stage(x, "a")
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):

            def of_patch(patch: Tensor, row: int = row, column: int = column) -> Tensor:
                inserted = x.clone()
                inserted[0, row, column] = patch
                return stage(inserted, "a")[0][0, row, column]

            jacobian = torch.autograd.functional.jacobian(of_patch, x[0, row, column])
            expected = torch.linalg.slogdet(jacobian).logabsdet
            torch.testing.assert_close(logdet[0, row, column], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", INVERTIBLE)
def test_summed_logdet_is_the_grids_jacobian(name):
    stage = moved(INVERTIBLE[name])
    x = features(batch=1)
    jacobian = torch.autograd.functional.jacobian(lambda grid: stage(grid, "a")[0], x)
    size = x.numel()
    expected = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
    torch.testing.assert_close(stage(x, "a")[1].sum(), expected, rtol=0, atol=1e-5)


def test_scale_context_looks_at_neighbours():
    stage = moved(FLOWS["subnet: ScaleContextSubnet"])
    x = features(batch=1)
    nudged = x.clone()
    nudged[0, 0, 1, :2] += 1
    assert (stage(x, "a")[0] - stage(nudged, "a")[0])[0, 0, 0].abs().max() > 1e-6


def test_a_flow_told_its_position_treats_equal_patches_differently():
    stage = moved(FLOWS["flow told its position"])
    same = features(batch=1)[:, :1, :1].expand(1, *SHAPE)
    z = stage(same, "a")[0][0].flatten(0, 1)
    assert torch.pdist(z).min() > 1e-3


def test_whitening_logdet_is_that_of_its_affine_part():
    adapter = moved(STAGES["adapter: WhiteningAdapter"])
    affine = adapter.affine["a"]
    patch = features()[0, 0, 0]
    jacobian = torch.autograd.functional.jacobian(affine, patch)
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(adapter(features(), "a")[1], expected.expand(2, *SHAPE[:2]), rtol=0, atol=1e-10)
    torch.testing.assert_close(affine.inverse(affine(patch)), patch)


def test_whitening_starts_at_layer_norm_and_stays_in_its_bounds():
    adapter = STAGES["adapter: WhiteningAdapter"]()
    begin_task(adapter, TASKS[0], 0)
    x = features().float()
    y, logdet = adapter(x, "a")
    torch.testing.assert_close(y, nn.functional.layer_norm(x, (SHAPE[-1],)))
    assert logdet.abs().max() < 1e-5
    affine = adapter.affine["a"]
    with torch.no_grad():
        affine.a.fill_(100)
        affine.b.fill_(-100)
    assert affine.scale.max() <= 2
    assert affine.shift.min() >= -2


def test_only_the_first_task_is_pulled_to_the_identity():
    adapter = moved(STAGES["adapter: WhiteningAdapter"])
    assert adapter.penalty(TASKS[0]) > 0
    assert adapter.penalty(TASKS[1]) == 0


@pytest.mark.parametrize("name", [*FLOWS, "dia: Dia"])
def test_stages_start_as_the_identity(name):
    torch.manual_seed(0)
    stage = STAGES[name]()
    begin_task(stage, TASKS[0], 0)
    x = features().float()
    z, logdet = stage(x, "a")
    torch.testing.assert_close(z, x)
    assert logdet.abs().max() == 0


def test_the_mixer_starts_as_the_identity_and_then_mixes():
    mixer = MAPPINGS["context: SpatialMixer"]()
    x = features().float()
    assert torch.equal(mixer(x, "a"), x)
    nudged = features(batch=1)
    nudged[0, 0, 1] += 1
    part = moved(MAPPINGS["context: SpatialMixer"])
    assert (part(features(batch=1), "a") - part(nudged, "a"))[0, 0, 0].abs().max() > 1e-6


@pytest.mark.parametrize("name", [*STAGES, *MAPPINGS])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_gradients_reach_every_parameter_of_the_right_owner_and_no_other(name, task):
    part = moved({**STAGES, **MAPPINGS}[name])
    learns = {id(parameter) for parameter in trained_in(part, task)}
    for parameter in part.parameters():
        parameter.requires_grad_(id(parameter) in learns)
    out = part(features(), task.name)
    loss = out.square().sum() if isinstance(out, Tensor) else out[0].square().sum() + out[1].square().sum()
    if learns:
        loss.backward()
    for path, parameter in part.named_parameters():
        reached = parameter.grad is not None and parameter.grad.abs().sum() > 0
        assert reached == (id(parameter) in learns), path


@pytest.mark.parametrize("name", [*STAGES, *MAPPINGS])
def test_state_dicts_make_a_round_trip(name):
    table = {**STAGES, **MAPPINGS}
    source, target = moved(table[name], seed=0), moved(table[name], seed=5)
    target.load_state_dict(source.state_dict())
    for one, other in zip(source(features(), "b"), target(features(), "b"), strict=True):
        assert torch.equal(one, other)


def test_positions_differ_from_cell_to_cell_for_any_dim():
    for dim in (5, 8, 152):
        grid = build_position(SMALL, (7, 9, dim)).grid.flatten(0, 1)
        assert grid.shape == (63, dim)
        assert torch.pdist(grid).min() > 0.05
