"""The kernels of the tail studies against closed forms, and the studies on known patches."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from moleflow.analysis.output import Analysis
from moleflow.analysis.tail.gradients import coefficients, latent_ratio, parameter_share
from moleflow.analysis.tail.latent import anderson_darling, latent, normality
from moleflow.analysis.tail.overlap import nearer_by, nearest, train_test
from moleflow.analysis.tail.patches import Patches, Product, edge_strength, tail_of
from moleflow.analysis.tail.resample import of_two_groups, over_images
from moleflow.analysis.tail.separation import auroc, d_prime, overlap, separation, top_mean
from moleflow.analysis.tail.spatial import edge_correlation, spatial
from moleflow.utils.errors import UsageError

N, SIDE, DIM = 12, 6, 4


def patches(seed: int, labels: np.ndarray, shift: float = 3.0) -> Patches:
    """NLL is the edge strength, defects sit in the first row of defective images."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(len(labels), SIDE, SIDE, DIM))
    edges = rng.uniform(size=(len(labels), SIDE, SIDE))
    defects = np.zeros(edges.shape, dtype=bool)
    defects[labels == 1, 0] = True
    return Patches(z + shift * defects[..., None], z, edges + 5 * defects, edges, defects, labels)


@pytest.fixture
def product():
    labels = np.repeat([0, 1], N // 2)
    return Product("bolt", patches(0, np.zeros(N, dtype=int)), patches(1, labels), 0.1)


def test_the_tail_is_each_images_least_likely_patches():
    nll = np.array([[[1.0, 9.0], [3.0, 8.0]], [[-1.0, -9.0], [-3.0, -8.0]]])
    assert tail_of(nll, 0.5).tolist() == [[[False, True], [False, True]], [[True, False], [True, False]]]
    assert tail_of(nll, 0.01).sum() == 2  # one at least


def test_edges_of_a_ramp_are_its_slope_and_flat_is_none():
    ramp = np.tile(np.arange(16) / 32, (3, 16, 1))
    found = edge_strength(ramp, (4, 4))
    assert found[1:3, 1:3] == pytest.approx(np.full((2, 2), 1 / 32))
    assert edge_strength(np.full((3, 16, 16), 0.5), (4, 4)).max() == 0


def test_coefficients_sum_to_one_and_put_w_on_the_tail():
    tail = torch.tensor([[True, False], [False, False]])
    found = coefficients(tail, 0.7)
    assert found.sum().item() == pytest.approx(1)
    assert found[0, 0].item() == pytest.approx(0.7 + 0.3 / 4)


def test_latent_gradients_of_a_two_patch_toy():
    z = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])  # norms 5 and 1
    tail = torch.tensor([[True, False]])
    assert latent_ratio(z, tail, 0.0) == pytest.approx(5)
    assert latent_ratio(z, tail, 0.5) == pytest.approx(5 * (0.25 + 0.5) / 0.25)
    assert math.isinf(latent_ratio(z, tail, 1.0))


def test_latent_ratio_equals_autograd():
    z = torch.randn(3, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    nll = 0.5 * z.square().sum(-1)
    tail = torch.from_numpy(tail_of(nll.detach().numpy()[None], 0.3))[0]
    k = int(tail.sum())
    loss = 0.3 * nll.mean() + 0.7 * nll.flatten().topk(k).values.mean()
    sizes = torch.autograd.grad(loss, z)[0].norm(dim=-1)
    assert latent_ratio(z.detach(), tail, 0.7) == pytest.approx(float(sizes[tail].mean() / sizes[~tail].mean()))


@pytest.mark.parametrize(("weight", "share"), [(0.0, 4 / 5), (0.5, 12 / 13), (1.0, 1.0)])
def test_parameter_share_of_a_two_patch_toy(weight, share):
    scale = torch.tensor(1.0, requires_grad=True)
    nll = torch.stack([4 * scale, 1 * scale])[None]  # gradients 4 and 1, weighed (½(1 − w) + w) : ½(1 − w)
    assert parameter_share(nll, torch.tensor([[True, False]]), weight, [scale]) == pytest.approx(share)


def test_normality_of_normal_and_of_uniform_numbers():
    rng = np.random.default_rng(0)
    found = normality(np.stack([rng.normal(size=5000), rng.uniform(-2, 2, 5000), rng.normal(1, 1, 5000)], 1))
    assert found.ks[0] < 0.03
    assert found.ks[2] == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=0.03)  # sup |Φ(x) − Φ(x − 1)|
    assert found.kurtosis[1] == pytest.approx(-1.2, abs=0.1)
    assert found.anderson[1] > 10 > 1.1 > found.anderson[0]


def test_anderson_darling_equals_scipys():
    values = np.random.default_rng(0).normal(2, 3, 200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        assert anderson_darling(values) == pytest.approx(stats.anderson(values, "norm").statistic)


def test_d_prime_overlap_and_auroc():
    good, bad = np.array([-1.0, 1.0] * 50), np.array([3.0, 5.0] * 50)
    assert (d_prime(good, bad), overlap(good, bad), auroc(good, bad)) == (pytest.approx(4), 0.0, 1.0)
    assert overlap(good, good) == pytest.approx(1)
    assert auroc(good, good) == pytest.approx(0.5)


def test_distances_are_to_the_nearest():
    assert nearest(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [6.0, 8.0]])).tolist() == [5.0]
    assert nearer_by(np.array([[1.0, 2.0], [1.0, 2.0]])) == pytest.approx(0.5)


def test_bootstrap_holds_the_truth_and_shrinks():
    rng = np.random.default_rng(0)
    wide, narrow = (over_images(rng.normal(1, 1, n), np.mean) for n in (20, 2000))
    assert wide.low < 1 < wide.high
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.15)
    alike = rng.normal(size=400)
    between = of_two_groups(alike, alike, auroc)
    assert between.low < 0.5 < between.high


def test_what_does_not_vary_has_no_d_prime_and_draws_without_one_are_left_out():
    assert math.isnan(d_prime(np.array([1.0]), np.array([3.0, 3.0])))
    apart = of_two_groups(np.array([0.0, 1.0]), np.array([4.0]), d_prime)
    assert (apart.value, apart.low, apart.high) == (pytest.approx(7 * math.sqrt(2)), apart.value, apart.value)
    alone = of_two_groups(np.array([0.0]), np.array([4.0]), d_prime)
    assert all(map(math.isnan, (alone.value, alone.low, alone.high)))


def test_the_top_mean_is_of_the_largest():
    assert top_mean(np.arange(9.0).reshape(1, 3, 3)).tolist() == [7.0]


def test_a_tail_on_edges_is_found(product):
    assert edge_correlation(product.train).tolist() == pytest.approx([1.0] * N)
    found = spatial(product)
    assert "1.00 (1.00 to 1.00)." in found.finding[0]
    assert found.numbers["edge_ratio"]["low"] > 1.5


def test_a_tail_without_edges_is_no_effect(product):
    rng = np.random.default_rng(3)
    train = product.train.where(np.arange(N))
    train = Patches(
        train.features, train.z, rng.uniform(size=train.nll.shape), train.edges, train.defects, train.labels
    )
    found = spatial(Product("bolt", train, product.test, 0.1))
    assert found.finding[0].endswith("no effect.")
    assert found.finding[1].endswith("no effect.")


def test_defects_like_the_tail_are_found(product):
    train = product.train
    tail = tail_of(train.nll, product.ratio)
    marked = Patches(
        train.features + 3.0 * tail[..., None], train.z, train.nll, train.edges, train.defects, train.labels
    )
    found = train_test(Product("bolt", marked, product.test, product.ratio))
    assert found.numbers["defects"]["low"] > 0.2
    assert found.numbers["good"]["high"] < 0


def test_without_masks_overlap_is_refused(product):
    with pytest.raises(UsageError, match="has no masks"):
        train_test(Product("bolt", product.train, product.test.good, 0.1))


def test_separation_needs_both_kinds(product):
    with pytest.raises(UsageError, match="good and defective"):
        separation(Product("bolt", product.train, product.test.good, 0.1))
    found = separation(product)
    assert found.numbers["images/AUROC"]["value"] == 1.0
    assert found.numbers["patches/AUROC"]["low"] is None
    assert found.finding[1].endswith("AUROC 1.00.")


@pytest.mark.parametrize("study", [spatial, train_test, latent, separation])
def test_studies_leave_numbers_and_figures(product, tmp_path, study: Callable[[Product], Analysis]):
    found = study(product)
    found.write(tmp_path)
    for picture in found.pictures:
        assert (tmp_path / f"{picture.name}.pdf").exists()
        assert (tmp_path / f"{picture.name}.png").stat().st_size < 200_000
