"""R6: rejection by the distance to the routed task's prototype, with limits that follow the router."""

from dataclasses import replace

import pytest
import torch
from fakes import SIZE, TINY, FakeFeatures, product_features, tiny_model, train_task, trained

from moleflow.config.ablation import AblationConfig
from moleflow.config.task import Task
from moleflow.config.variants import EuclideanRouter, OracleRouter, PerTaskRouter, TiedRouter
from moleflow.config.variants import Reject as RejectConfig
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.routing.open_set import Reject
from moleflow.models.routing.statistics import image_features
from moleflow.models.scoring.limits import conformal_limit
from moleflow.models.task import expert_state, load_expert

REJECT = replace(TINY, open_set=RejectConfig(rate=0.1))
ROUTERS = [TiedRouter(), PerTaskRouter(), EuclideanRouter(), OracleRouter()]


def with_held_out(names: list[str], config: AblationConfig = REJECT, n: int = 40, seed: int = 7) -> MoLEFlow:
    """A model trained on tasks, with n held-out images of each class that are not its training images."""
    model = trained(names, config)
    for task in model.tasks.values():
        features = torch.cat([product_features(name, n, seed) for name in sorted(task.classes)])
        model.calibrate(task, lambda features=features: [Batches(features)], 0.05)
    return model


class Batches:
    """One batch of features."""

    def __init__(self, features: torch.Tensor):
        self.features = features


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: type(router).__name__)
def test_known_products_stay_known_and_strangers_are_unknown(router):
    model = with_held_out(["a", "b+c"], replace(REJECT, router=router))
    known = torch.cat([product_features(name, 100, seed=8) for name in "abc"])
    own = ["a"] * 100 + ["b+c"] * 200
    assert model.unknown(known, own).double().mean() < 0.2
    strangers = product_features("q", 50, seed=8)
    assert model.unknown(strangers, ["a"] * 50).double().mean() > 0.9
    assert model.unknown(strangers, ["b+c"] * 50).double().mean() > 0.9


def test_the_limit_is_the_conformal_quantile_of_the_held_out_distances():
    """Of 40 distances at a rate of 0.1: floor(0.1·41) − 1 = 3 may lie above."""
    model = with_held_out(["a", "b+c"])
    held_out = image_features(torch.cat([product_features(name, 40, seed=7) for name in "bc"]))
    for task, images, above in (("a", image_features(product_features("a", 40, seed=7)), 3), ("b+c", held_out, 7)):
        distances = model.router.task_distances(images)[:, model.router.tasks.index(task)]
        assert model.open_set.limit(task, model.router) == pytest.approx(distances.sort().values[-1 - above].item())


def test_the_promise_holds_on_new_normal_images():
    """Over many held-out sets the share of new normal images beyond the limit is the promised one."""
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(500):
        held_out, new = torch.randn(29, generator=generator), torch.randn(50, generator=generator)
        shares.append((new > conformal_limit(held_out.sort().values, 0.1)).double().mean())
    assert 0.08 < torch.stack(shares).mean() < 0.105


def test_images_are_judged_by_the_limit_of_the_task_they_were_routed_to():
    model = with_held_out(["a", "b"])
    features = torch.cat([product_features("a", 5, seed=8), product_features("b", 5, seed=8)])
    right, wrong = ["a"] * 5 + ["b"] * 5, ["b"] * 5 + ["a"] * 5
    assert not model.unknown(features, right).all()
    assert model.unknown(features, wrong).all()
    distances = model.router.distances_to(image_features(features), right)
    model.open_set._limits = {"a": distances[:5].max().item(), "b": distances[5:].min().item()}
    assert model.unknown(features, right).sum() == 4, "all of a's are within a's limit, b's nearest alone within b's"


def test_a_new_task_moves_the_covariance_and_the_limit_follows():
    model = with_held_out(["a", "b"])
    before = model.open_set.limit("a", model.router)
    train_task(model, Task(("c",), 2), REJECT)
    after = model.open_set.limit("a", model.router)
    images = image_features(product_features("a", 40, seed=7))
    distances = model.router.distances_to(images, ["a"] * 40).sort().values
    assert after == distances[-4].item()
    assert after != before
    model.remove_task("c")
    assert model.open_set.limit("a", model.router) == before


def test_limits_follow_what_is_learned_and_loaded():
    model, other = with_held_out(["a", "b"]), with_held_out(["a", "b"], n=23, seed=9)
    before = model.open_set.limit("a", model.router)
    load_expert(model, "a", expert_state(other, "a"))
    assert model.open_set.held_out["a"].images.shape == (23, 6)
    loaded = model.open_set.limit("a", model.router)
    assert loaded == other.open_set.limit("a", other.router) != before
    model.calibrate(model.tasks["a"], lambda: [Batches(product_features("a", 40, seed=7))], 0.05)
    assert model.open_set.limit("a", model.router) == before


def test_without_held_out_images_nothing_is_rejected():
    model = trained(["a"], REJECT)
    model.calibrate(model.tasks["a"], lambda: [], 0.05)
    assert not model.unknown(product_features("q", 5), ["a"] * 5).any()


def test_predictions_say_who_is_unknown_and_a_closed_set_never_does(monkeypatch):
    features = torch.cat([product_features("a", 4, seed=8), 3 * product_features("q", 4, seed=8)])
    images = torch.zeros(8, 3, SIZE, SIZE)
    for model, unknown in ((with_held_out(["a", "b"]), [False] * 4 + [True] * 4), (trained(["a"]), [False] * 8)):
        monkeypatch.setattr(model, "features", lambda images: features)
        prediction = model.predict(images)
        assert prediction.unknown.tolist() == unknown
        assert torch.equal(prediction.scores, model.score(features, prediction.tasks).images), "unknown ones are scored"


def test_only_a_model_that_rejects_keeps_held_out_images():
    assert any("held_out" in name for name in expert_state(trained(["a"], REJECT), "a"))
    assert not any("held_out" in name for name in expert_state(trained(["a"]), "a"))


def test_held_out_features_are_exact():
    model = tiny_model(REJECT)
    train_task(model, Task(("a",), 0), REJECT)
    stored = model.open_set.held_out["a"].images
    assert isinstance(model.open_set, Reject)
    assert torch.equal(stored, image_features(FakeFeatures(("a",), images=5).features))
