"""Routers: the statistics are sufficient, and order of tasks does not matter."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.routing.base import Router
from moleflow.models.routing.euclidean import NearestPrototype
from moleflow.models.routing.hybrid import HybridRouter
from moleflow.models.routing.mahalanobis import PerTaskMahalanobis, TiedMahalanobis
from moleflow.models.routing.oracle import Oracle
from moleflow.models.routing.statistics import RouterStatistics, full_scatter, image_features, ledoit_wolf, pool
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


def taught(kind: Callable[[int], Router], names: list[str], n: int = 40) -> Router:
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


def test_a_tasks_distance_is_that_of_its_nearest_class():
    router = taught(TiedMahalanobis, ["d", "b+c", "a"])
    images = image_features(torch.cat([images_of(name, 3) for name in "abcd"]))
    prototypes = router.distances(images)  # a, b, c, d
    expected = torch.stack([prototypes[:, 0], prototypes[:, 1:3].amin(1), prototypes[:, 3]], dim=1)
    assert router.tasks == ["a", "b+c", "d"]
    assert torch.equal(router.task_distances(images), expected)
    assert router.distances_to(images[:2], ["d", "b+c"]).tolist() == [expected[0, 2].item(), expected[1, 1].item()]


def opinion(values: Mapping[str, float], asked: list[tuple[str, int]]) -> Callable[[torch.Tensor, str], torch.Tensor]:
    """A flow to which every image has the task's value as its NLL; it notes the task and how many images it saw."""

    def mean_nll(features: torch.Tensor, task: str) -> torch.Tensor:
        asked.append((task, len(features)))
        return features.new_full((len(features),), values[task])

    return mean_nll


def test_hybrid_asks_the_likelihood_only_about_the_nearest_tasks_and_once_for_each():
    router = taught(partial(HybridRouter, top_k=2), ["a", "b+c", "d", "e"])
    images = torch.cat([images_of(name, 5) for name in "abcde"])
    nearest = router.task_distances(image_features(images)).argsort(dim=1)[:, :2]
    likely = {"a": 3.0, "b+c": 1.0, "d": 2.0, "e": 0.0}
    asked: list[tuple[str, int]] = []
    routed = router(images, mean_nll=opinion(likely, asked))
    candidates = [[router.tasks[index] for index in row] for row in nearest.tolist()]
    assert routed == [min(two, key=lambda task: likely[task]) for two in candidates]
    assert routed != [two[0] for two in candidates], "the likelihood never decides"
    assert dict(asked) == {task: sum(task in two for two in candidates) for task, _ in asked}
    assert len(asked) == len(dict(asked)) <= len(router.tasks)


def test_hybrid_with_one_candidate_is_the_tied_router_and_with_many_the_likelihood():
    names = ["a", "b+c", "d"]
    images = torch.cat([images_of(name, 5) for name in "abcd"])
    likely = {"a": 1.0, "b+c": 0.0, "d": 2.0}
    one, all_of_them = (taught(partial(HybridRouter, top_k=k), names) for k in (1, 99))
    assert one(images, mean_nll=opinion(likely, [])) == taught(TiedMahalanobis, names)(images)
    assert set(all_of_them(images, mean_nll=opinion(likely, []))) == {"b+c"}


def test_hybrid_without_a_likelihood_says_so():
    with pytest.raises(UsageError, match="expects the flow's likelihood"):
        taught(partial(HybridRouter, top_k=2), ["a", "b"])(images_of("a"))
