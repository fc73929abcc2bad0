"""Geometric transforms: image and mask go where geometry says, mirrored at the border, and come back."""

import math

import numpy as np
import pytest

from moleflow.data.shift.crop import Crop
from moleflow.data.shift.domain import GEOMETRIC, KEPT, DomainShift, _share_kept, geometry_of
from moleflow.data.shift.geometry import remaining, warp
from moleflow.data.shift.rotation import Rotate
from moleflow.data.shift.translation import Translate

HEIGHT, WIDTH = 120, 160


def disc(x: float, y: float, radius: float, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Bool (height, width): pixels whose centre is in a circle."""
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(columns + 0.5 - x, rows + 0.5 - y) < radius


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def blobs(seed: int) -> np.ndarray:
    """A smooth picture, uint8 (HEIGHT, WIDTH, 3)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] / 20
    phases = np.random.default_rng(seed).uniform(0, 6, 3)
    return np.stack([128 + 100 * np.sin(rows + p) * np.cos(columns - p) for p in phases], -1).astype(np.uint8)


def test_a_rotation_is_counter_clockwise_about_the_centre():
    found = warp(disc(120, 60, 10), Rotate().matrix({"degrees": 10.0}, WIDTH, HEIGHT))
    angle = math.radians(10)
    assert overlap(found, disc(80 + 40 * math.cos(angle), 60 - 40 * math.sin(angle), 10)) > 0.95


def test_a_crop_is_its_part_enlarged():
    found = warp(disc(40, 30, 10), Crop().matrix({"area": 0.64, "left": 1.0, "top": 0.0}, WIDTH, HEIGHT))
    assert overlap(found, disc((40 - 0.2 * WIDTH) / 0.8, 30 / 0.8, 12.5)) > 0.95


def test_a_translation_goes_right_and_down():
    found = warp(disc(80, 60, 10), Translate().matrix({"right": 0.05, "down": -0.1}, WIDTH, HEIGHT))
    assert np.array_equal(found, disc(88, 48, 10))


@pytest.mark.parametrize("name", list(GEOMETRIC))
@pytest.mark.parametrize("seed", range(5))
def test_masks_lie_where_the_formula_puts_them(name, seed):
    """The mask of the shifted domain against a disc whose centre was moved on paper."""
    image, mask = blobs(seed), disc(90, 55, 12)
    shifted = DomainShift("severe", (name,))(image, mask, seed)
    to_source = geometry_of(shifted.parameters, WIDTH, HEIGHT)
    x, y, _ = np.linalg.inv(to_source) @ [90, 55, 1]
    scale = 1 / math.sqrt(abs(np.linalg.det(to_source)))
    assert shifted.mask is not None
    assert overlap(shifted.mask, disc(x, y, 12 * scale)) > 0.93


@pytest.mark.parametrize("seed", range(5))
def test_image_and_mask_move_alike(seed):
    """A white defect on black: where the shifted image is white, the shifted mask is set."""
    mask = disc(60, 70, 15)
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    shifted = DomainShift("severe", tuple(GEOMETRIC))(image, mask, seed)
    assert shifted.mask is not None
    assert overlap(shifted.image[..., 0] > 127, shifted.mask) > 0.97


def test_the_first_transform_acts_first():
    """Rotation about the centre, then translation: the centre ends where the translation puts it."""
    parameters = {"rotation": {"degrees": 9.0}, "translation": {"right": 0.1, "down": 0.0}}
    x, y, _ = np.linalg.inv(geometry_of(parameters, WIDTH, HEIGHT)) @ [WIDTH / 2, HEIGHT / 2, 1]
    assert (x, y) == pytest.approx((0.6 * WIDTH, 0.5 * HEIGHT))


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_brings_the_image_back(seed):
    image = blobs(seed)
    matrix = geometry_of(DomainShift("severe", tuple(GEOMETRIC))(image, None, seed).parameters, WIDTH, HEIGHT)
    back = warp(warp(image, matrix), np.linalg.inv(matrix)).astype(float)
    inner = (slice(30, -30), slice(40, -40))
    assert np.abs(back[inner] - image[inner]).mean() < 1.5
    assert np.abs(warp(image, matrix)[inner].astype(float) - image[inner]).mean() > 5


def test_nothing_moves_under_the_identity():
    image, mask = blobs(0), disc(50, 50, 9)
    assert np.array_equal(warp(image, np.eye(3)), image)
    assert np.array_equal(warp(mask, np.eye(3)), mask)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 200)])
def test_thin_images_keep_their_shape_and_colour(shape):
    image = np.full((*shape, 3), 77, np.uint8)
    shifted = DomainShift("severe", tuple(GEOMETRIC))(image, np.ones(shape, bool), 3)
    assert shifted.image.shape == image.shape
    assert (shifted.image == 77).all()
    assert shifted.mask is not None
    assert shifted.mask.all()


def test_the_border_is_mirrored_in_image_and_mask():
    """Moved right by 20 pixels, the columns that come in show columns 20, 19, …, 1 of before."""
    mask = disc(10, 60, 6)
    image, matrix = blobs(1), Translate().matrix({"right": 20 / WIDTH, "down": 0.0}, WIDTH, HEIGHT)
    assert np.array_equal(warp(image, matrix)[:, :20], image[:, 20:0:-1])
    assert np.array_equal(warp(mask, matrix)[:, :20], mask[:, 20:0:-1])
    assert warp(mask, matrix)[:, :20].any()


def test_what_remains_of_a_mask_is_counted_without_its_mirror_image():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, :32] = True
    out = Translate().matrix({"right": -0.15, "down": 0.0}, WIDTH, HEIGHT)
    assert remaining(mask, out) == pytest.approx(8 / 32)
    assert remaining(mask, np.eye(3)) == 1
    assert remaining(np.zeros_like(mask), out) == 1


def test_a_defect_at_the_border_stays_in_at_least_half_of_its_mask():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[40:80, :4] = True
    image, shift = blobs(0), DomainShift("severe", tuple(GEOMETRIC))
    kept = [remaining(mask, geometry_of(shift(image, mask, seed).parameters, WIDTH, HEIGHT)) for seed in range(30)]
    free = [remaining(mask, geometry_of(shift(image, None, seed).parameters, WIDTH, HEIGHT)) for seed in range(30)]
    assert min(kept) >= KEPT
    assert min(free) < KEPT, "without its mask some of these images would lose the defect"


def test_a_defect_that_sampling_would_miss_counts_as_lost():
    """Rotated by 15°, a few of 16 × 16 pixels lie between all points that are sampled."""
    turn = {"rotation": {"degrees": 15.0}}
    moved = warp(np.arange(256, dtype=np.uint8).reshape(16, 16), geometry_of(turn, 16, 16))
    inner = np.arange(256).reshape(16, 16)[5:-5, 5:-5]
    missed = sorted(set(inner.ravel().tolist()) - set(moved.ravel().tolist()))
    assert missed
    for place in inner.ravel().tolist():
        mask = np.arange(256).reshape(16, 16) == place
        assert remaining(mask, geometry_of(turn, 16, 16)) == 1
        assert _share_kept(mask, turn) == (place not in missed)


def test_a_mask_that_no_geometry_keeps_gets_the_kindest_one():
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[3:-3, 3:-3] = False
    shift = DomainShift("severe", tuple(GEOMETRIC))
    drawn = [shift._draw(GEOMETRIC, 5, attempt) for attempt in range(50)]
    shares = [remaining(mask, geometry_of(parameters, WIDTH, HEIGHT)) for parameters in drawn]
    taken = remaining(mask, geometry_of(shift(blobs(0), mask, 5).parameters, WIDTH, HEIGHT))
    assert taken == (next((share for share in shares if share >= KEPT), max(shares)))
