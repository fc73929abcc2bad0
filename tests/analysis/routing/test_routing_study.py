"""Margins, confusion and the simulation of many products."""

import numpy as np
import pytest
import torch

from moleflow.analysis.routing.observed import Decisions, decide
from moleflow.analysis.routing.page import routing_analysis
from moleflow.analysis.routing.simulated import ROUTERS, _some, fitted, held, simulate, window_means, windows

DECISIONS = Decisions(
    ("a", "b"), np.array([0, 0, 1]), np.array([[1.0, 4.0], [9.0, 1.0], [25.0, 1.0]])
)  # the second image goes astray


def products(dim: int = 6, side: int = 3, n: int = 20) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    centres = torch.randn(2, side, side, dim, generator=noise) * 5
    rows = torch.randn(2, n, side, side, dim, generator=noise)
    return {name: centres[index] + rows[index] for index, name in enumerate("ab")}


def test_margins_compare_distances_not_squares():
    assert DECISIONS.margins.tolist() == pytest.approx([2.0, 1 / 3, 5.0])
    assert DECISIONS.confusion.tolist() == [[1, 1], [0, 1]]
    assert DECISIONS.accuracy.value == pytest.approx(2 / 3)


def test_window_means_equal_the_slow_ones():
    features = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    found = window_means(features, 2)
    assert found.shape == (2, 4, 3, 3)
    torch.testing.assert_close(found[1, 3, 2], features[1, 3:5, 2:4].double().mean((0, 1)))
    torch.testing.assert_close(found[0, 0, 0], features[0, :2, :2].double().mean((0, 1)))


def test_windows_are_different_places_and_come_from_every_product_first():
    drawn = windows(products(), products(), 18, 0)
    assert len({window.name for window in drawn}) == 18
    assert {window.name[0] for window in drawn[:2]} == {"a", "b"}
    assert drawn[0].name != windows(products(), products(), 18, 1)[0].name
    name, place = drawn[3].name.split("-")
    torch.testing.assert_close(drawn[3].train, products()[name].flatten(1, 2)[:, int(place)].double())


def test_queries_are_thinned_evenly_and_every_product_keeps_some():
    assert _some(torch.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert _some(torch.arange(3), 5).tolist() == [0, 1, 2]
    assert len(_some(torch.arange(7), 0)) == 1


@pytest.mark.parametrize("router", ROUTERS)
def test_products_far_apart_are_told_apart(router):
    few, many = simulate(windows(products(), products(), 18, 0), [2, 18], [router])
    assert few.accuracy.value == 1.0
    assert many.accuracy.value > 0.95
    assert (few.tasks, many.tasks) == (2, 18)
    assert many.megabytes > few.megabytes


def test_the_tied_router_holds_one_covariance_and_a_row_a_product():
    drawn = windows(products(), products(), 18, 0)
    router = fitted(ROUTERS["tied"], drawn)
    router.distances(drawn[0].test)
    dim = 6
    assert held(router) == 8 * (dim * dim + 2 * 18 * dim) + 8 * 18  # whitener, means twice, owners' columns


def test_a_router_without_signal_is_at_chance():
    noise = torch.Generator().manual_seed(0)
    alike = {name: torch.randn(30, 3, 3, 6, generator=noise) for name in "ab"}
    other = {name: torch.randn(30, 3, 3, 6, generator=noise) for name in "ab"}
    point = next(simulate(windows(alike, other, 18, 0), [18], ["tied"]))
    assert point.accuracy.low < 1 / 18 < point.accuracy.high


def test_decide_pairs_images_with_their_task():
    drawn = windows(products(), products(), 2, 0)
    router = fitted(ROUTERS["tied"], drawn)
    found = decide(router, {window.name: window.test for window in reversed(drawn)})
    assert found.tasks == tuple(sorted(window.name for window in drawn))
    assert found.accuracy.value == 1.0
    assert (found.margins > 1).all()


def test_the_page_states_accuracy_with_its_interval(tmp_path):
    points = list(simulate(windows(products(), products(), 18, 0), [2, 18], list(ROUTERS)))
    found = routing_analysis(DECISIONS, points, "the command")
    assert found.finding[0].startswith("2 of 3 test images go to their product: 66.7 % (95 % interval 20.8 to 93.9).")
    assert "The narrowest margin is 0.33 (a)" in found.finding[0]
    found.write(tmp_path)
    assert {"margins.png", "many_products.pdf", "scaling.csv", "confusion.tex"} <= {p.name for p in tmp_path.iterdir()}
