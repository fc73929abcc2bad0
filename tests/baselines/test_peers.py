"""What the wrapped models compute, against slow references; skipped where anomalib is not installed."""

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.utils.errors import MoleflowError

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason="needs requirements-baselines.txt"),
    pytest.mark.slow,  # importing anomalib takes a while
]
SIZE, GRID, DIM = 32, 4, 6


def normal(images: int, seed: int = 0) -> Tensor:
    """Features of normal images."""
    return torch.randn(images, GRID, GRID, DIM, generator=torch.Generator().manual_seed(seed))


def test_patchcore_measures_the_distance_to_the_nearest_kept_patch():
    peer = get_model("patchcore", img_size=SIZE, coreset_ratio=0.5, candidates=200)
    peer.fit([normal(8), normal(4, 1)])
    assert len(peer.bank) == 0.5 * 12 * GRID * GRID
    features = normal(3, 2)
    distances, nearest = peer.nearest(features)
    expected = torch.cdist(features.reshape(-1, DIM), peer.bank)
    torch.testing.assert_close(distances.flatten(), expected.min(1).values, rtol=1e-3, atol=1e-3)
    assert torch.equal(nearest.flatten(), expected.argmin(1))
    assert peer.bytes == 4 * DIM * len(peer.bank)


def test_patchcore_keeps_its_share_of_all_patches_however_few_are_candidates():
    peer = get_model("patchcore", img_size=SIZE, coreset_ratio=0.1, candidates=50)
    peer.fit([normal(10)])
    kept = {tuple(row) for row in peer.bank.tolist()}
    assert len(kept) == 16
    assert kept <= {tuple(row) for row in normal(10).reshape(-1, DIM).tolist()}


def test_padim_is_the_mahalanobis_distance_at_each_place():
    peer = get_model("padim", img_size=SIZE, n_features=DIM)
    train, test = normal(40), normal(2, 3)
    peer.fit([train[:25], train[25:]])
    place = train[:, 1, 2].double().numpy()
    inverse = np.linalg.inv(np.cov(place.T) + (0.01 + 1e-5) * np.eye(DIM))
    delta = test[:, 1, 2].double().numpy() - place.mean(0)
    expected = np.sqrt(np.einsum("bi,ij,bj->b", delta, inverse, delta))
    found = peer.model.anomaly_map_generator.compute_distance(
        test.permute(0, 3, 1, 2), [peer.model.gaussian.mean, peer.model.gaussian.inv_covariance]
    )
    np.testing.assert_allclose(found[:, 0, 1, 2].numpy(), expected, rtol=1e-4)
    scores = peer.score(test)
    np.testing.assert_allclose(scores.images, scores.maps.max((1, 2)))


@pytest.mark.parametrize("name", ["patchcore", "padim"])
def test_a_peer_is_the_same_each_time_and_finds_what_is_far(name: str):
    found = []
    for _ in range(2):
        peer = get_model(name, img_size=SIZE)
        with pytest.raises(MoleflowError, match="call fit before score"):
            peer.score(normal(1))
        torch.rand(3)
        peer.fit([normal(30)])
        far = normal(4, 5)
        far[2, :2, :2] += 8
        found.append(peer.score(far))
    np.testing.assert_array_equal(found[0].maps, found[1].maps)
    assert found[0].images.argmax() == 2
    assert found[0].maps.shape == (4, SIZE, SIZE)
    assert found[0].maps[2, :16, :16].mean() > 2 * found[0].maps[2, 16:, 16:].mean()
