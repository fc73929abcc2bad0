"""Adapters: formulas against hand-computed values, their starts, and each one's special promise."""

from dataclasses import replace

import pytest
import torch
from fakes import TINY, product_features, tiny_model, trained
from torch import Tensor
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.config.variants import FilmAdapter, InstanceNormAdapter, WhiteningNoNorm, ZcaAdapter
from moleflow.extractors.batch import Batch
from moleflow.models.adapters import film, instance_norm, whitening, zca
from moleflow.models.task import base_state, begin_task, expert_state, load_expert, start_task
from moleflow.utils.errors import MoleflowError

FIRST, SECOND, BEFORE = Task(("a",), 0), Task(("b",), 1), Task(("base",), -1)


def begun(adapter, *tasks: Task):
    for task in tasks:
        begin_task(adapter, task, 0)
    return adapter.requires_grad_(False)


def in_two_batches(features: Tensor):
    """Uneven batches: averages must be over patches, not over batches."""
    parts = (features[:3], features[3:])
    return lambda: [Batch(part, torch.zeros(len(part), dtype=torch.long)) for part in parts]


def patches_of(features: Tensor) -> Tensor:
    return features.double().flatten(0, -2)


def test_whitening_without_norm_is_affine_in_the_features_themselves():
    adapter = begun(whitening.WhiteningNoNorm(6, True, 0.1), FIRST)
    x = product_features("a", 2)
    y, logdet = adapter(x, "a")
    torch.testing.assert_close(y, x)
    assert logdet.abs().max() < 1e-5
    adapter.affine["a"].a.fill_(0.0)
    adapter.affine["a"].b.fill_(0.5)
    y, logdet = adapter(x, "a")
    torch.testing.assert_close(y, 1.25 * x + 2 * torch.tanh(torch.tensor(0.5)))
    torch.testing.assert_close(logdet, torch.full(x.shape[:-1], 6 * 0.22314355))


@pytest.mark.parametrize("adapter", [whitening.WhiteningAdapter, whitening.WhiteningNoNorm])
def test_the_whitening_logdet_can_be_left_out(adapter):
    part = begun(adapter(6, False, 0.1), FIRST)
    part.affine["a"].a.fill_(1.0)
    assert part(product_features("a", 2), "a")[1].abs().max() == 0


def test_film_is_scale_shift_and_half_a_perceptron():
    adapter = begun(film.FilmAdapter(6, norm=False), SECOND)
    x, own = product_features("b", 2), adapter.film["b"]
    torch.testing.assert_close(adapter(x, "b")[0], x)
    own.a.fill_(0.3)
    own.b.fill_(-1.0)
    own.perceptron.leave.bias.fill_(4.0)
    y, logdet = adapter(x, "b")
    torch.testing.assert_close(y, torch.exp(torch.tensor(0.3)) * x - 1 + 0.5 * 4)
    torch.testing.assert_close(logdet, torch.full(x.shape[:-1], 6 * 0.3))


def test_films_first_task_keeps_nine_tenths_of_its_input():
    adapter = begun(film.FilmAdapter(6, norm=False), FIRST)
    x = product_features("a", 2)
    adapter.film["a"].a.fill_(0.3)
    adapter.film["a"].b.fill_(-1.0)
    y, logdet = adapter(x, "a")
    scale = 0.9 + 0.1 * torch.exp(torch.tensor(0.3))
    torch.testing.assert_close(y, scale * x - 0.1)
    torch.testing.assert_close(logdet, 6 * torch.log(scale).expand(x.shape[:-1]))


def test_films_layer_norm_is_an_option():
    adapter = begun(film.FilmAdapter(6, norm=True), SECOND)
    x = product_features("b", 2)
    torch.testing.assert_close(adapter(x, "b")[0], F.layer_norm(x, (6,)))


@pytest.mark.parametrize(("dim", "film_hidden", "instance_hidden"), [(2, 128, 1), (6, 128, 1), (400, 200, 100)])
def test_widths_of_the_perceptrons(dim, film_hidden, instance_hidden):
    films, norms = begun(film.FilmAdapter(dim, False), FIRST), begun(instance_norm.InstanceNormAdapter(dim), FIRST)
    assert films.film["a"].perceptron.enter.out_features == film_hidden
    assert norms.perceptron["a"].enter.out_features == instance_hidden


def test_instance_norm_gives_every_image_the_first_tasks_mean_and_spread():
    adapter = begun(instance_norm.InstanceNormAdapter(6), FIRST, SECOND)
    first = product_features("a", 7)
    adapter.start_task(FIRST, in_two_batches(first))
    adapter.start_task(SECOND, in_two_batches(product_features("b", 7)))
    y, logdet = adapter(product_features("b", 3), "b")
    mean, std = patches_of(first).mean(0), patches_of(first).std(0, correction=0)
    for image in y:
        torch.testing.assert_close(patches_of(image).mean(0), mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(patches_of(image).std(0, correction=0), std, rtol=1e-4, atol=0)
    assert logdet.abs().max() == 0


def test_a_later_task_never_sets_the_mean_and_spread():
    adapter = begun(instance_norm.InstanceNormAdapter(6), SECOND)
    with pytest.raises(MoleflowError, match="the first task's mean and spread"):
        adapter.start_task(SECOND, in_two_batches(product_features("b", 7)))
    adapter.start_task(FIRST, in_two_batches(product_features("a", 7)))
    first = adapter.mean.clone()
    adapter.start_task(SECOND, in_two_batches(product_features("b", 7)))
    assert torch.equal(adapter.mean, first)


def test_instance_norms_perceptron_acts_through_half_a_gate_before_the_shift():
    adapter = begun(instance_norm.InstanceNormAdapter(6), FIRST)
    adapter.start_task(FIRST, in_two_batches(product_features("a", 7)))
    x = product_features("a", 2)
    before = adapter(x, "a")[0]
    adapter.perceptron["a"].leave.bias.fill_(3.0)
    torch.testing.assert_close(adapter(x, "a")[0], before + 0.5 * 3 * adapter.std)


def test_a_base_from_before_the_stream_keeps_its_mean_and_spread():
    adapter = begun(instance_norm.InstanceNormAdapter(6), BEFORE, FIRST)
    before = product_features("base", 7)
    adapter.start_task(BEFORE, in_two_batches(before))
    adapter.start_task(FIRST, in_two_batches(product_features("a", 7)))
    torch.testing.assert_close(adapter.mean.double(), patches_of(before).mean(0), rtol=0, atol=1e-6)


def test_the_first_tasks_mean_and_spread_travel_with_the_base():
    config = replace(TINY, adapter=InstanceNormAdapter())
    model = trained(["a"], config)
    base = base_state(model)
    patches = patches_of(model.position(product_features("a", 12), "a"))
    torch.testing.assert_close(base["adapter.mean"].double(), patches.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(base["adapter.std"].double(), patches.std(0, correction=0), rtol=0, atol=1e-6)
    assert base["adapter.known"]


def test_instance_norm_of_one_patch_is_finite():
    adapter = begun(instance_norm.InstanceNormAdapter(6), FIRST)
    assert torch.isfinite(adapter(torch.randn(2, 1, 1, 6), "a")[0]).all()


def learned_zca(features: Tensor, shrinkage: float) -> zca.ZcaAdapter:
    adapter = begun(zca.ZcaAdapter(features.shape[-1], shrinkage), FIRST)
    adapter.start_task(FIRST, in_two_batches(features))
    return adapter


def test_zca_with_hardly_any_shrinkage_gives_uncorrelated_channels_of_unit_variance():
    features = product_features("a", 40)
    y = patches_of(learned_zca(features, 1e-9)(features, "a")[0])
    torch.testing.assert_close(y.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.cov(y.T, correction=0), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-4)


def test_zca_by_hand():
    x = torch.tensor([[[3.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [1.0, -1.0]]]).reshape(1, 2, 2, 2).repeat(4, 1, 1, 1)
    y, logdet = learned_zca(x, 0.2)(x, "a")  # mean (1, 0), variances 2 and ½, level 1.25: 1.85 and 0.65
    expected = (x - torch.tensor([1.0, 0.0])) / torch.tensor([1.85, 0.65]).sqrt()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(logdet, -0.5 * torch.log(torch.tensor(1.85 * 0.65)).expand(4, 2, 2))


def test_zca_stays_near_the_features_unlike_other_whitenings():
    matrix = learned_zca(product_features("a", 40), 0.1).whitening["a"].matrix
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_zca_of_features_that_never_vary_only_centres():
    adapter = learned_zca(torch.full((4, 2, 2, 3), 7.0), 0.1)
    y, logdet = adapter(torch.full((1, 2, 2, 3), 8.0), "a")
    torch.testing.assert_close(y, torch.ones(1, 2, 2, 3))
    assert logdet.abs().max() == 0


def test_zca_of_tiny_features_survives_the_experts_storage_type():
    config = replace(TINY, adapter=ZcaAdapter(shrinkage=1e-4))
    model = tiny_model(config)
    model.begin_task(FIRST, 0)
    features = 1e-6 * product_features("a", 7)
    start_task(model, FIRST, in_two_batches(features))
    before = {name: value.clone() for name, value in expert_state(model, "a").items() if name.startswith("adapter")}
    model.finish_task(FIRST, in_two_batches(features), torch.float16)
    stored = expert_state(model, "a")
    assert before["adapter.whitening.triangle"].abs().max() > torch.finfo(torch.float16).max
    assert all(torch.equal(value, stored[name]) for name, value in before.items())


def test_zca_inverse_and_logdet_come_back_with_a_loaded_expert():
    config = replace(TINY, adapter=ZcaAdapter())
    state = expert_state(trained(["a"], config), "a")
    model = tiny_model(config)
    model.begin_task(FIRST, 0)
    load_expert(model, "a", state)
    x = product_features("a", 2)
    y, logdet = model.adapter(x, "a")
    torch.testing.assert_close(model.adapter.inverse(y, "a"), x, rtol=0, atol=1e-5)
    own = model.adapter.whitening["a"]
    torch.testing.assert_close(logdet, torch.linalg.slogdet(own.matrix).logabsdet.float().expand(x.shape[:-1]))


def test_zca_under_autocast_is_as_exact_as_without():
    features = product_features("a", 7)
    adapter = learned_zca(features, 1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        y = adapter(features, "a")[0]
    assert torch.equal(y, adapter(features, "a")[0])


@pytest.mark.parametrize("adapter", [WhiteningNoNorm(), FilmAdapter(), FilmAdapter(True), InstanceNormAdapter()])
def test_adapters_learn_and_leave_other_tasks_and_the_base_alone(adapter):
    config = replace(TINY, adapter=adapter)
    one, both = trained(["a"], config), trained(["a", "b"], config)
    start = tiny_model(config)
    start.begin_task(FIRST, 0)
    moved = expert_state(one, "a")
    assert any(
        not torch.equal(moved[name], value) for name, value in expert_state(start, "a").items() if "adapter" in name
    )
    for state in (lambda model: expert_state(model, "a"), base_state):
        assert all(torch.equal(value, state(both)[name]) for name, value in state(one).items() if "adapter" in name)
