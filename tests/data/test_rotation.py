"""I1: rotated views are rotations, mirrored at the border, under angles that belong to the image."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moleflow.data.images import load_image
from moleflow.data.rotation import Rotation, rotated
from moleflow.data.sample import Sample

IMAGES = [Sample(Path(f"data/{name}.png"), "nut", 0, "good", None) for name in "abcdefgh"]


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_counter_clockwise_and_exact(turns):
    image = picture(24, 24)
    found = np.asarray(rotated(image, 90.0 * turns))
    assert np.array_equal(found, np.rot90(np.asarray(image), turns))


def test_no_rotation_changes_no_byte(tmp_path):
    image = picture(20, 31)
    assert rotated(image, 0.0) is image
    image.save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert np.array_equal(load_image(path, 16, "squash", 0.0), load_image(path, 16, "squash"))
    assert not np.array_equal(load_image(path, 16, "squash", 30.0), load_image(path, 16, "squash"))


@pytest.mark.parametrize("degrees", [30.0, -30.0, 100.0])
def test_a_dot_goes_where_geometry_says(degrees):
    dark = np.zeros((61, 101, 3), dtype=np.uint8)
    dark[30, 70] = 255  # 20 pixels right of the centre
    found = np.asarray(rotated(Image.fromarray(dark), degrees))[..., 0]
    row, column = np.unravel_index(found.argmax(), found.shape)
    angle = math.radians(degrees)
    assert abs(column - (50 + 20 * math.cos(angle))) < 1
    assert abs(row - (30 - 20 * math.sin(angle))) < 1


@pytest.mark.parametrize("shape", [(40, 40), (12, 90), (90, 12), (1, 7)])
@pytest.mark.parametrize("degrees", [45.0, -17.3, 180.0])
def test_corners_show_the_image_mirrored_and_no_new_colour(shape, degrees):
    plain = Image.new("RGB", shape[::-1], (200, 90, 10))
    found = np.asarray(rotated(plain, degrees))
    assert found.shape == (*shape, 3)
    assert (found == (200, 90, 10)).all()


def test_what_is_turned_in_is_mirrored_and_no_repeated_edge():
    image = np.zeros((41, 41, 3), dtype=np.uint8)
    image[:, 6:11] = 200  # the lower left corner is turned in from 8 pixels beyond the left edge
    found = np.asarray(rotated(Image.fromarray(image), 45.0))[..., 0]
    assert found[-1, 0] > 150
    assert found[0, 0] < 50, "the upper left corner comes from beyond the middle of the upper edge"


def test_rotation_comes_before_the_resize_so_bars_stay_where_they_are(tmp_path):
    Image.new("RGB", (40, 20), (255, 255, 255)).save(tmp_path / "wide.png")
    found = load_image(tmp_path / "wide.png", 16, "pad", 33.0)
    assert np.array_equal(found, load_image(tmp_path / "wide.png", 16, "pad"))


def test_fixed_angles_belong_to_the_image_not_to_the_order_or_the_folder():
    rotation = Rotation(20.0, 3, seed=1)
    angles = {(view.path.name, view.rotation) for view in rotation.fixed(IMAGES)}
    moved = [Sample(Path("elsewhere") / sample.path.name, "nut", 0, "good", None) for sample in reversed(IMAGES)]
    assert {(view.path.name, view.rotation) for view in rotation.fixed(moved)} == angles
    assert len({angle for _, angle in angles}) == 3 * len(IMAGES)
    assert [view.path for view in rotation.fixed(IMAGES)[:4]] == [IMAGES[0].path] * 3 + [IMAGES[1].path]


def test_fixed_angles_follow_seed_and_class():
    def drawn(seed: int, class_name: str) -> float:
        sample = Sample(Path("a.png"), class_name, 0, "good", None)
        return Rotation(180.0, 1, seed).fixed([sample])[0].rotation

    assert len({drawn(0, "nut"), drawn(1, "nut"), drawn(0, "bolt")}) == 3


def test_angles_fill_the_range_and_stay_in_it():
    angles = np.array([view.rotation for view in Rotation(30.0, 100, seed=0).fixed(IMAGES)])
    assert np.abs(angles).max() <= 30
    assert np.abs(angles.mean()) < 2
    assert angles.std() == pytest.approx(30 / math.sqrt(3), rel=0.05)  # of a uniform distribution
    assert {view.rotation for view in Rotation(0.0, 2, seed=0).fixed(IMAGES)} == {0.0}


def test_fresh_angles_are_new_in_every_draw_and_the_same_from_the_same_stream():
    rotation = Rotation(90.0, 0, seed=0)
    assert len(rotation.fixed(IMAGES)) == len(IMAGES)
    random = np.random.default_rng(5)
    first, second = rotation.fresh(IMAGES, random), rotation.fresh(IMAGES, random)
    assert [view.path for view in first] == [sample.path for sample in IMAGES]
    assert not {view.rotation for view in first} & {view.rotation for view in second}
    assert rotation.fresh(IMAGES, np.random.default_rng(5)) == first
    assert all(abs(view.rotation) <= 90 for view in [*first, *second])
