"""Diagnostics against what is built into a model: saturation, γ, margins, positions, collapse; in any configuration."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_products import Data, Products
from fakes import GRID, SIZE, TINY, product_features, trained
from PIL import Image

from moleflow.config.ablation import AblationConfig
from moleflow.config.variants import (
    FilmAdapter,
    NoAdapter,
    NoContext,
    NoDia,
    OracleRouter,
    ScaleContextSubnet,
    Separated,
)
from moleflow.data.sample import Sample
from moleflow.evaluation.diagnostics import diagnose, flattened
from moleflow.evaluation.latents import cells_on_defects, latents_of
from moleflow.evaluation.probes import Spread
from moleflow.models.coupling import AffineCoupling
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.routing.statistics import image_features

TASKS = ("a", "b+c")


def model_of(config: AblationConfig = TINY) -> MoLEFlow:
    return trained(TASKS, config)


def found(model: MoLEFlow, task: str = "b+c") -> dict:
    content = diagnose(model, Data(), list(model.tasks.values()), "squash")
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    return content["tasks"][task]


@cache
def found_in_default() -> tuple[MoLEFlow, dict]:
    model = model_of()
    return model, found(model)


def test_latents_are_summed_up_for_good_and_for_defective_images():
    model, told = found_in_default()
    with torch.no_grad():
        latent, defective = (
            model.likelihood(torch.cat([Products(name).features[rows] for name in "bc"]), "b+c")
            for rows in (slice(10), slice(10, None))
        )
    good = told["good_images"]
    assert (good["images"], good["patches"]) == (20, 20 * GRID * GRID)
    logdet = latent.adapter_logdet + latent.flow_logdet
    for name, values in (("z_norm", latent.z.norm(dim=-1)), ("logdet", logdet), ("nll", latent.nll)):
        assert good[name]["mean"] == pytest.approx(values.mean().item(), rel=1e-4)
        assert good[name]["max"] == pytest.approx(values.max().item(), rel=1e-4)
        assert good[name]["median"] == pytest.approx(values.quantile(0.5).item(), rel=1e-4)
    assert told["defective_images"]["images"] == 12
    assert told["defective_images"]["nll"]["max"] == pytest.approx(defective.nll.max().item(), rel=1e-4)
    assert "patches_on_defects" not in told, "there are no masks"


def test_cells_on_defects_are_those_the_mask_touches(tmp_path):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[0, 0], mask[7:9, 13] = 255, 255  # cells are 4 pixels wide: (0, 0), (1, 3), (2, 3)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    sample = Sample(tmp_path / "image.png", "a", 1, "hole", tmp_path / "mask.png")
    cells = cells_on_defects(sample, model_of(), "squash")
    assert cells.nonzero().tolist() == [[0, 0], [1, 3], [2, 3]]
    assert not cells_on_defects(replace(sample, mask=None), model_of(), "squash").any()


def test_patches_on_defects_are_told_apart_from_their_images(monkeypatch):
    model, cells = model_of(), torch.zeros(GRID, GRID, dtype=torch.bool)
    cells[1, 2] = True  # where Products puts its defects
    where = lambda sample, model, resize: cells if sample.label else torch.zeros_like(cells)
    monkeypatch.setattr("moleflow.evaluation.latents.cells_on_defects", where)
    told = found(model)
    assert (told["patches_on_defects"]["images"], told["patches_on_defects"]["patches"]) == (12, 12)
    assert told["patches_on_defects"]["nll"]["mean"] > told["defective_images"]["nll"]["mean"]


def test_saturation_is_counted_for_each_coupling_the_task_uses():
    model = model_of()
    couplings = {path: module for path, module in model.named_modules() if isinstance(module, AffineCoupling)}
    first = next(path for path in couplings if path.startswith("flow"))
    couplings[first].subnet.forward = lambda x, task: (torch.full_like(x, 100.0), torch.zeros_like(x))
    shares = found(model)["saturation"]
    assert len(shares) == 4, "two of the flow, two of the task's own DIA"
    assert not any("task:" in name for name in shares)
    assert shares[first] == 1.0
    assert all(share < 1 for name, share in shares.items() if name != first)
    assert not any(module.subnet._forward_hooks for module in couplings.values()), "the probes are gone"


def test_log_scales_count_from_95_percent_of_the_bound():
    """s̃ = c·tanh(s/c), and |tanh(u)| > 0.95 from u = 1.8318 on."""
    model = model_of(replace(TINY, dia=NoDia()))
    coupling = next(module for module in model.modules() if isinstance(module, AffineCoupling))
    for u, share in ((1.83, 0.0), (1.84, 1.0), (-1.84, 1.0)):
        coupling.subnet.forward = lambda x, task, u=u: (torch.full_like(x, u * coupling.clamp), torch.zeros_like(x))
        assert next(iter(found(model)["saturation"].values())) == share


def test_gates_and_gammas_are_told_by_name():
    model = model_of(replace(TINY, subnet=ScaleContextSubnet(kernel=3)))
    model.adapter.affine["b+c"].a.data = torch.tensor([-50.0, 50.0, 0.0, 0.0, 0.0, 0.0])
    content = diagnose(model, Data(), list(model.tasks.values()), "squash")
    shared = content["shared"]["scalars"]
    alphas = {name: value for name, value in shared.items() if name.endswith("subnet.a")}
    assert len(alphas) == 2
    assert all(model.get_parameter(name).item() == value for name, value in shared.items())
    assert any(name.startswith("context") for name in shared), "the mixer's gate"
    gamma = content["tasks"]["b+c"]["adapter_scale"]
    assert gamma == {"min": 0.5, "mean": 1.25, "max": 2.0, "at_lower_bound": pytest.approx(1 / 6)}


def test_a_film_adapters_scale_and_gate_are_told():
    told = found(model_of(replace(TINY, adapter=FilmAdapter())))
    assert set(told["adapter_scale"]) == {"min", "mean", "max"}
    assert [name for name in told["scalars"] if name.startswith("adapter")] == ["adapter.film.perceptron.gate"]


def test_routing_margins_are_second_minus_first_task():
    model, told = found_in_default()
    features = torch.cat([Products(name).features for name in "bc"])
    distances = model.router.task_distances(image_features(features)).sort(dim=1).values
    margins = distances[:, 1] - distances[:, 0]
    assert told["routing_margin"]["median"] == pytest.approx(margins.quantile(0.5).item())
    assert told["routing_margin"]["min"] == pytest.approx(margins.min().item())


def test_the_position_effect_is_the_range_of_the_cells_mean_nll():
    model, told = found_in_default()
    with torch.no_grad():
        cells = latents_of(model, Data(), model.tasks["b+c"], 0, "squash").nll.mean(0)
    assert told["position_effect"]["range"] == pytest.approx((cells.max() - cells.min()).item(), rel=1e-5)
    assert told["position_effect"]["range"] > 0


def test_a_healthy_model_has_no_warnings():
    assert found_in_default()[1]["warnings"] == []


def test_an_adapter_at_its_lower_bound_is_called_collapsed():
    model = model_of()
    with torch.no_grad():
        model.adapter.affine["b+c"].a.fill_(-50.0)
    (warning,) = found(model)["warnings"]
    assert "100% of the adapter's γ are at the lower bound 0.5" in warning
    assert found(model, "a")["warnings"] == []


def test_a_context_that_makes_patches_equal_is_called_collapsed():
    model = model_of()
    model.context.forward = lambda x, task: 1 + 0.01 * x
    told = found(model)
    assert told["context_variance"]["out"] == pytest.approx(1e-4 * told["context_variance"]["in"], rel=1e-3)
    assert any("patches become equal" in warning for warning in told["warnings"])


def test_variance_over_batches_is_that_of_all_patches():
    parts = [product_features("a", n, seed=n) for n in (3, 1, 6)]
    spread = Spread()
    for part in parts:
        spread.add(part)
    expected = torch.cat(parts).double().flatten(0, 2).var(0, correction=0).mean()
    assert spread.variance == pytest.approx(expected.item())


BARE = replace(TINY, adapter=NoAdapter(), context=NoContext(), dia=NoDia(), router=OracleRouter())


def test_what_a_configuration_lacks_is_not_told():
    told = found(model_of(BARE))
    assert set(told) == {"good_images", "defective_images", "saturation", "position_effect", "warnings"}
    assert len(told["saturation"]) == 2


@pytest.mark.parametrize("config", [replace(TINY, sharing=Separated()), replace(BARE, sharing=Separated())])
def test_a_flow_of_the_tasks_own_is_told_of(config):
    told = found(model_of(config))
    assert sum(name.startswith("flow") for name in told["saturation"]) == 2


def test_one_task_without_defects_or_rivals(monkeypatch):
    monkeypatch.setattr(Products, "__init__", only_good)
    model = trained(["a"])
    told = found(model, "a")
    assert "defective_images" not in told
    assert "routing_margin" not in told


def only_good(self: Products, name: str, strangers: bool = False) -> None:
    self.features = product_features(name, 3)
    self.samples = [Sample(Path("x.png"), name, 0, "good", None)] * 3


def test_numbers_are_flattened_with_their_path():
    content = {"a": {"b": 1, "c": {"d": 2.5, "e": None}}, "warnings": ["f"]}
    assert list(flattened(content)) == [("a/b", 1.0), ("a/c/d", 2.5)]
