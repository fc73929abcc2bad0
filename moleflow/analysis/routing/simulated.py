"""Routing among a thousand products, simulated from real features: each window of a grid is a product of its own."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor

from moleflow.analysis.intervals import Interval, share_interval
from moleflow.config.task import Task
from moleflow.extractors.batch import Batch
from moleflow.models.routing.base import Router
from moleflow.models.routing.euclidean import NearestPrototype
from moleflow.models.routing.mahalanobis import PerTaskMahalanobis, TiedMahalanobis

ROUTERS: dict[str, Callable[[int], Router]] = {
    "tied": TiedMahalanobis,
    "per_task": PerTaskMahalanobis,
    "euclidean": NearestPrototype,
}
"""--router -> the router."""


QUERIES = 20_000
"""Test windows that are routed at most: 20 a product among a thousand."""


@dataclass(frozen=True)
class Window:
    """A simulated product: what one window of one product's feature grid shows.

    Attributes:
        name: product and place.
        train: window means of training images, (n, D), float64.
        test: of test images, (m, D), float64.
    """

    name: str
    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Point:
    """One router among so many products.

    Attributes:
        router: its name.
        tasks: products it chooses from.
        accuracy: share of test windows it sends to their product.
        milliseconds: median time to route one image, from its feature mean on.
        megabytes: what it holds beyond the experts' statistics.
        fit_seconds: time to derive that from the statistics.
    """

    router: str
    tasks: int
    accuracy: Interval
    milliseconds: float
    megabytes: float
    fit_seconds: float


def window_means(features: Tensor, size: int) -> Tensor:
    """Mean of every size × size window: (n, H, W, D) -> (n, H − size + 1, W − size + 1, D), float64."""
    table = torch.nn.functional.pad(features.double(), (0, 0, 1, 0, 1, 0)).cumsum(1).cumsum(2)
    sums = table[:, size:, size:] - table[:, :-size, size:] - table[:, size:, :-size] + table[:, :-size, :-size]
    return sums / size**2


def windows(train: Mapping[str, Tensor], test: Mapping[str, Tensor], count: int, seed: int) -> list[Window]:
    """That many different (product, place) pairs, drawn at random, the first few from different products.

    Args:
        train, test: product -> window means (n, P, Q, D).
        count: how many; at most products × P × Q.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    places = {name: rng.permutation(means.shape[1] * means.shape[2]) for name, means in train.items()}
    longest = max(map(len, places.values()))
    pairs = [(name, int(order[turn])) for turn in range(longest) for name, order in places.items() if turn < len(order)]
    return [Window(f"{name}-{place}", _at(train[name], place), _at(test[name], place)) for name, place in pairs[:count]]


def simulate(products: Sequence[Window], sizes: Sequence[int], routers: Sequence[str]) -> Iterator[Point]:
    """Each router among the first n products, for each n."""
    for name in routers:
        for size in sizes:
            yield measure(name, products[:size])


def measure(name: str, products: Sequence[Window], repeats: int = 30) -> Point:
    """Accuracy, time and memory of one router among these products."""
    router = fitted(ROUTERS[name], products)
    start = time.perf_counter()
    router.distances(products[0].test[:1])  # derives what it needs from the statistics
    fit = time.perf_counter() - start
    queries = [_some(window.test, QUERIES // len(products)) for window in products]
    true = torch.cat([torch.full((len(query),), router.tasks.index(window.name))
                      for window, query in zip(products, queries, strict=True)])  # fmt: skip
    hits = int((router.task_distances(torch.cat(queries)).argmin(1) == true).sum())
    return Point(
        name, len(products), share_interval(hits, len(true)), 1000 * _seconds(router, products, repeats),
        held(router) / 1e6, fit,
    )  # fmt: skip


def fitted(make: Callable[[int], Router], products: Sequence[Window]) -> Router:
    """A router that has learned every product's statistics."""
    router = make(products[0].train.shape[1])
    for index, window in enumerate(products):
        task = Task((window.name,), index)
        router.statistics.begin(task)
        router.end_task(task, partial(_batches, window))
    router.know([window.name for window in products])
    return router


def _some(rows: Tensor, most: int) -> Tensor:
    """At most so many rows, at least one, evenly spread."""
    return rows[:: max(1, -(-len(rows) // max(1, most)))]


def _at(means: Tensor, place: int) -> Tensor:
    return means.flatten(1, 2)[:, place].double()


def _batches(window: Window) -> Iterator[Batch]:
    yield Batch(window.train[:, None, None], torch.zeros(len(window.train), dtype=torch.long))


def held(router: Router) -> int:
    """Bytes of the tensors that a router derived from its statistics."""
    kept = [value for name, value in vars(router).items() if not name.startswith("_modules")]
    tensors = [one for value in kept for one in (value if isinstance(value, list) else [value])]
    return sum(one.numel() * one.element_size() for one in tensors if isinstance(one, Tensor))


def _seconds(router: Router, products: Sequence[Window], repeats: int) -> float:
    seconds = []
    for turn in range(repeats):
        image = products[turn % len(products)].test[:1]
        start = time.perf_counter()
        router.distances(image).argmin(1)
        seconds.append(time.perf_counter() - start)
    return median(seconds)
