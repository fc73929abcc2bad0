"""Routers: the statistics are sufficient, and order of tasks does not matter."""

import pytest
import torch
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.routing.base import Router
from moleflow.models.routing.euclidean import NearestPrototype
from moleflow.models.routing.mahalanobis import PerTaskMahalanobis, TiedMahalanobis
from moleflow.models.routing.oracle import Oracle
from moleflow.models.routing.statistics import RouterStatistics, full_scatter, ledoit_wolf, pool
from moleflow.models.task import begin_task
from moleflow.utils.errors import UsageError

DIM = 6
LEARNED = [TiedMahalanobis, PerTaskMahalanobis, NearestPrototype]


def images_of(name: str, n: int = 40) -> torch.Tensor:
    """Features (n, 1, 1, DIM) whose mean and spread belong to the name."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    mean = 12 * torch.randn(DIM, generator=generator)
    mixing = torch.randn(DIM, DIM, generator=generator)
    return (mean + torch.randn(n, DIM, generator=generator) @ mixing)[:, None, None]


def taught(kind: type[Router], names: list[str], n: int = 40) -> Router:
    router = kind(DIM)
    for index, name in enumerate(names):
        task = Task(tuple(name.split("+")), index)
        begin_task(router, task, seed=0)
        classes = sorted(task.classes)
        batches = [Batch(images_of(one, n), torch.full((n,), row)) for row, one in enumerate(classes)]
        router.end_task(task, lambda batches=batches: batches)
    router.know(names)
    return router


def test_ledoit_wolf_from_statistics_equals_scikit_learn_on_the_images():
    statistics = RouterStatistics(Task(("a",), 0), DIM)
    features = images_of("a", 25)
    statistics.learn(lambda: [Batch(features[:10], torch.zeros(10)), Batch(features[10:], torch.zeros(15))])
    expected, shrinkage = sklearn_ledoit_wolf(features[:, 0, 0].double().numpy())
    assert 0 < shrinkage < 1
    torch.testing.assert_close(ledoit_wolf(pool([statistics])), torch.from_numpy(expected), rtol=1e-8, atol=1e-10)


def test_pooled_covariance_is_within_classes():
    router = taught(TiedMahalanobis, ["a", "b+c"])
    centred = torch.cat([images_of(name) - images_of(name).mean(0) for name in "abc"])[:, 0, 0].double()
    pooled = pool([router.statistics["a"], router.statistics["b+c"]])
    torch.testing.assert_close(pooled.scatter, centred.T @ centred, rtol=1e-5, atol=1e-3)
    assert pooled.images == 120
    expected, _ = sklearn_ledoit_wolf(centred.numpy(), assume_centered=True)
    torch.testing.assert_close(ledoit_wolf(pooled), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


def test_scatter_survives_its_triangle():
    square = torch.arange(9.0).reshape(3, 3)
    symmetric = square + square.T
    upper = torch.triu_indices(3, 3)
    assert torch.equal(full_scatter(symmetric[upper[0], upper[1]], 3), symmetric)


@pytest.mark.parametrize("kind", LEARNED)
def test_routes_known_products_and_names_multi_class_tasks(kind):
    router = taught(kind, ["a", "b+c", "d"])
    for name in "abcd":
        own = "b+c" if name in "bc" else name
        assert router(images_of(name)).count(own) >= 38, name


@pytest.mark.parametrize("kind", LEARNED)
def test_distances_do_not_depend_on_the_order_of_tasks(kind):
    one, other = taught(kind, ["a", "b", "d"]), taught(kind, ["d", "b", "a"])
    images = images_of("b")[:, 0, 0].double()
    assert torch.equal(one.distances(images), other.distances(images))


@pytest.mark.parametrize("kind", LEARNED)
def test_one_image_a_class_still_routes(kind):
    router = taught(kind, ["a", "b"], n=1)
    assert router(images_of("b", 1)) == ["b"]


def test_tied_distance_is_mahalanobis_under_the_pooled_covariance():
    router = taught(TiedMahalanobis, ["a", "b"])
    parts = [router.statistics[name] for name in "ab"]
    precision = torch.linalg.inv(ledoit_wolf(pool(parts)))
    image = images_of("b")[:1, 0, 0].double()
    expected = [((image - part.mean) @ precision @ (image - part.mean).T).item() for part in parts]
    assert router.distances(image)[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_a_router_forgets_what_it_derived_when_tasks_change():
    router = taught(TiedMahalanobis, ["a", "b"])
    assert set(router(images_of("b"))) == {"b"}
    router.know(["a"])
    assert set(router(images_of("b"))) == {"a"}


def test_oracle_needs_and_returns_the_truth():
    router = taught(Oracle, ["a", "b"])
    assert router(images_of("a")[:2], given=["b", "a"]) == ["b", "a"]
    with pytest.raises(UsageError, match="oracle"):
        router(images_of("a"))


def test_a_router_without_tasks_says_so():
    with pytest.raises(UsageError, match="no task yet"):
        TiedMahalanobis(DIM)(images_of("a"))
