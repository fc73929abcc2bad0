"""Synthetic anomalies: they change their mask only, show, and are the same for the same seed."""

import numpy as np
import pytest

from moleflow.data.synthetic.anomaly import VISIBLE, make_anomaly
from moleflow.data.synthetic.kinds import KINDS
from moleflow.data.synthetic.regions import blob, place, structure
from moleflow.utils.errors import UsageError


def picture(seed: int, height: int = 48, width: int = 80) -> np.ndarray:
    """Grey, with a textured disc in the middle of its left half."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(y - height / 2, x - width / 4) < height / 3
    pixels = 90 + 60 * disc[..., None] * rng.random((height, width, 1)) + rng.normal(0, 1, (height, width, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


NORMAL, DONOR = picture(1), picture(2, 60, 70)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_mask_is_changed_and_there_it_shows(kind):
    for seed in range(10):
        made = make_anomaly(kind, NORMAL, DONOR, seed)
        difference = np.abs(made.image.astype(float) - NORMAL).mean(axis=-1)
        assert made.image.dtype == np.uint8
        assert made.mask.any(), seed
        assert not difference[~made.mask].any(), seed
        assert difference[made.mask].mean() >= VISIBLE, seed
        assert made.mask.mean() < 0.2, "a defect, not another product"


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_and_arguments_stay_as_they_are(kind):
    normal, donor = NORMAL.copy(), DONOR.copy()
    first, again, other = (make_anomaly(kind, normal, donor, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.mask, other.mask)
    assert np.array_equal(normal, NORMAL)
    assert np.array_equal(donor, DONOR)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 40), (40, 3)])
def test_images_of_any_shape_are_damaged(kind, shape):
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape, 3)).astype(np.uint8)
    made = make_anomaly(kind, noise[0], noise[1], 3)
    assert made.mask.shape == shape
    assert made.mask.any()


def test_a_patch_holds_pixels_of_the_donor():
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 255
    made = make_anomaly("cutpaste", NORMAL, red, 0)
    change = made.image.astype(float)[made.mask] - NORMAL[made.mask]
    assert (change[:, 0] > 0).all()
    assert (change[:, 1:] < 0).all()


@pytest.mark.parametrize("kind", ["cutpaste", "warp"])
def test_what_cannot_show_is_an_error_that_says_what_to_do(kind):
    plain = np.full((30, 30, 3), 128, np.uint8)
    with pytest.raises(UsageError, match=f"no {kind} shows .* one colour .* leave {kind} out"):
        make_anomaly(kind, plain, plain, 0)


def test_places_are_more_often_where_there_is_structure():
    weight = structure(NORMAL.astype(np.float32))
    rng = np.random.default_rng(0)
    columns = [place(rng, weight, 4)[1] for _ in range(300)]
    assert np.mean(np.array(columns) < 40) > 0.85
    assert np.min(weight) > 0
    assert min(columns) >= 4
    assert max(columns) <= 76


def test_a_blob_has_about_the_area_asked_for():
    rng = np.random.default_rng(0)
    areas = [blob(rng, np.ones((200, 150)), 0.02).mean() for _ in range(40)]
    assert 0.012 < np.mean(areas) < 0.025
