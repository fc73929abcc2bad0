"""Formats, geometry and damage of image files; what a mask means."""

import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from moleflow.data.images import (
    RESIZE_MODES,
    BadImage,
    check_sample,
    check_samples,
    load_image,
    load_input,
    load_mask,
    pixel_truth,
)
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError

ROTATED = 6
"""EXIF orientation: stored lying on its side, to be turned by 90° clockwise."""


def saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def oriented(path: Path, image: Image.Image) -> Path:
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    image.save(path, exif=exif)
    return path


# formats


def test_rgb_is_read_unchanged_at_its_own_size(tmp_path: Path) -> None:
    pixels = noise(16, 16, 3)
    found = load_image(saved(tmp_path / "a.png", pixels), 16, "squash")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_by_its_full_range(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 128], [257 * 100, 65535]], dtype=np.uint16)
    found = load_image(saved(tmp_path / f"a.{suffix}", values), 2, "squash")
    np.testing.assert_array_equal(found[..., 0], [[0, 0], [100, 255]])
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_32_bit_grey_within_16_bits_is_read_and_beyond_is_refused(tmp_path: Path) -> None:
    values = np.array([[0, 65535], [25700, 257]], dtype=np.int32)
    assert load_image(saved(tmp_path / "a.tif", values), 2, "squash")[..., 0].tolist() == [[0, 255], [100, 1]]
    with pytest.raises(BadImage, match="exceed 16 bits"):
        load_image(saved(tmp_path / "b.tif", values + 1), 2, "squash")
    with pytest.raises(BadImage, match="floating-point"):
        load_image(saved(tmp_path / "c.tif", values.astype(np.float32)), 2, "squash")


def test_grey_and_one_bit(tmp_path: Path) -> None:
    grey = noise(4, 4)
    found = load_image(saved(tmp_path / "g.png", grey), 4, "squash")
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=-1))
    found = load_image(saved(tmp_path / "b.png", grey > 127), 4, "squash")
    np.testing.assert_array_equal(found[..., 1], 255 * (grey > 127))


def test_transparent_pixels_become_black_whatever_lies_under_them(tmp_path: Path) -> None:
    rgba = noise(2, 2, 4)
    rgba[..., 3] = [[255, 0], [0, 255]]
    found = load_image(saved(tmp_path / "rgba.png", rgba), 2, "squash")
    np.testing.assert_array_equal(found, rgba[..., :3] * (rgba[..., 3:] > 0))
    found = load_image(saved(tmp_path / "la.png", rgba[..., 2:]), 2, "squash")
    np.testing.assert_array_equal(found[..., 0], rgba[..., 2] * (rgba[..., 3] > 0))


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).convert("P")
    image.putpalette([200, 10, 10, 10, 10, 200])
    image.save(tmp_path / "p.png", **({"transparency": 1} if transparent else {}))
    second = [0, 0, 0] if transparent else [10, 10, 200]
    found = load_image(tmp_path / "p.png", 2, "squash")
    assert found.tolist() == [[[200, 10, 10], second], [second, [200, 10, 10]]]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.jpg", quality=100)
    red = load_image(tmp_path / "c.jpg", 8, "squash").reshape(-1, 3).mean(axis=0)
    assert red[0] > 240
    assert red[1:].max() < 15


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path: Path, suffix: str) -> None:
    lying = np.zeros((8, 16, 3), dtype=np.uint8)
    lying[:, :8] = 255  # its left half is the top half of the upright picture
    path = oriented(tmp_path / f"a.{suffix}", Image.fromarray(lying))
    found = load_image(path, 16, "squash")
    assert found[:6].mean() > 240
    assert found[10:].mean() < 15
    mask = saved(tmp_path / "m.png", np.zeros((16, 8), dtype=np.uint8))
    check_sample(Sample(path, "c", 1, "d", mask))


# geometry


def blob(height: int, width: int) -> np.ndarray:
    """A bright disc off the centre, of a third of the shorter side."""
    y, x = np.mgrid[:height, :width]
    return np.hypot(y - 0.55 * height, x - 0.45 * width) < min(height, width) / 3


@pytest.mark.parametrize("resize", RESIZE_MODES)
@pytest.mark.parametrize("shape", [(90, 150), (150, 90), (64, 64), (20, 33)])
def test_mask_and_image_share_their_geometry(tmp_path: Path, resize: str, shape: tuple[int, int]) -> None:
    disc = blob(*shape)
    pixels = np.repeat(disc[..., None].astype(np.uint8) * 255, 3, axis=-1)
    image = load_image(saved(tmp_path / "i.png", pixels), 48, resize)[..., 0] / 255
    mask = load_mask(saved(tmp_path / "m.png", disc.astype(np.uint8)), 48, resize)
    assert mask.shape == (48, 48)
    assert mask.any()
    clear = np.abs(image - 0.5) > 0.01
    np.testing.assert_array_equal(mask[clear], image[clear] > 0.5)
    assert clear.mean() > 0.95


def test_squash_shows_all_and_crop_the_middle(tmp_path: Path) -> None:
    stripes = np.repeat(np.arange(3, dtype=np.uint8)[None], 30, axis=0).repeat(30, axis=1) * 100
    path = saved(tmp_path / "a.png", stripes)  # 30 x 90: dark, middle, bright
    assert load_image(path, 9, "squash")[4, [0, 4, 8], 0].tolist() == [0, 100, 200]
    whole = np.asarray(Image.open(path).resize((27, 9), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(load_image(path, 9, "crop")[..., 0], whole[:, 9:18])


@pytest.mark.parametrize(("shape", "empty"), [((10, 40), (slice(None), 0)), ((40, 10), (0, slice(None)))])
def test_pad_keeps_the_aspect_ratio_on_black(tmp_path: Path, shape: tuple[int, int], empty: tuple) -> None:
    found = load_image(saved(tmp_path / "a.png", np.full(shape, 200, dtype=np.uint8)), 20, "pad")[..., 0]
    rows, columns = np.nonzero(found)
    assert sorted((np.ptp(rows) + 1, np.ptp(columns) + 1)) == [5, 20]
    assert (found[found > 0] == 200).all()
    assert {int(rows.min()), int(columns.min())} == {0, 7}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((448, 448), (256, 256)), ((250, 640), (160, 416)), ((640, 250), (416, 160)), ((500, 9), (1024, 64))],
)
def test_fit_keeps_the_shape_and_the_number_of_pixels(
    tmp_path: Path, shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    path = saved(tmp_path / "a.png", (blob(*shape) * 255).astype(np.uint8))
    found = load_input(path, 256, "fit")
    assert found.shape == (*expected, 3)
    across, down = (np.ptp(np.nonzero((found[..., 0] > 127).any(axis))[0]) + 1 for axis in (0, 1))
    bounded = max(shape) / min(shape) > 16
    assert bounded or abs(across / down - 1) < 0.15  # the disc stays round, to half a step of a side
    assert load_image(path, 256, "fit").shape == (256, 256, 3)


def test_fit_leaves_squares_what_they_are(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(30, 30, 3))
    np.testing.assert_array_equal(load_input(path, 20, "fit"), load_image(path, 20, "squash"))


def test_extreme_aspect_ratio_keeps_a_pixel(tmp_path: Path) -> None:
    found = load_image(saved(tmp_path / "a.png", np.full((2, 500), 9, dtype=np.uint8)), 16, "pad")
    assert (found[..., 0] > 0).sum() == 16


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = load_image(saved(tmp_path / "a.png", board), 32, "squash")
    assert np.ptp(found) <= 4
    assert abs(found.mean() - 127.5) < 2


def test_unknown_resize_lists_the_known(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(4, 4, 3))
    with pytest.raises(UsageError, match=r"'squish', expected one of squash, pad, crop, fit; did you mean 'squash'"):
        load_image(path, 4, "squish")


# masks


@pytest.mark.parametrize("value", [1, 2, 127, 255])
def test_any_nonzero_value_marks_a_defect(tmp_path: Path, value: int) -> None:
    disc = blob(60, 60)
    found = load_mask(saved(tmp_path / "m.png", disc.astype(np.uint8) * np.uint8(value)), 30, "squash")
    expected = load_mask(saved(tmp_path / "r.png", disc.astype(np.uint8) * np.uint8(255)), 30, "squash")
    np.testing.assert_array_equal(found, expected)
    assert abs(found.mean() - disc.mean()) < 0.02


def test_16_bit_palette_rgb_and_rgba_masks(tmp_path: Path) -> None:
    disc = blob(20, 20)
    faint = disc.astype(np.uint8)
    palette = Image.fromarray(1 - faint).convert("P")
    palette.putpalette([128, 0, 0, 0, 0, 0])  # index 0 is the defect's colour
    palette.save(tmp_path / "p.png")
    zero = np.zeros_like(faint)
    paths = [
        saved(tmp_path / "i16.png", disc.astype(np.uint16)),
        saved(tmp_path / "bool.png", disc),
        saved(tmp_path / "rgb.png", np.stack([zero, zero, faint], axis=-1)),
        saved(tmp_path / "rgba.png", np.stack([faint, zero, zero, zero + 255], axis=-1)),
        saved(tmp_path / "hidden.png", np.stack([zero + 255, zero, zero, faint * 255], axis=-1)),
        tmp_path / "p.png",
    ]
    for path in paths:
        np.testing.assert_array_equal(load_mask(path, 20, "squash"), disc, err_msg=path.name)


def test_half_covered_pixels_are_no_defect(tmp_path: Path) -> None:
    lines = np.zeros((64, 64), dtype=np.uint8)
    lines[10] = 255  # one pixel wide: half of a pixel at 32
    lines[40:44] = 255
    found = load_mask(saved(tmp_path / "m.png", lines), 32, "squash")
    assert np.flatnonzero(found.any(axis=1)).tolist() == [20, 21]
    halves = saved(tmp_path / "h.png", np.array([[0, 1], [0, 1]], dtype=np.uint8))
    assert load_mask(halves, 3, "squash")[0].tolist() == [False, False, True]  # the middle is covered by exactly 0.5


def test_pixel_truth_knows_good_masked_and_unmasked(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.png", np.full((8, 8), 255, dtype=np.uint8))
    good = pixel_truth(Sample(path, "c", 0, "good", None), 8, "squash")
    assert good is not None
    assert good.dtype == bool
    assert good.shape == (8, 8)
    assert not good.any()
    masked = pixel_truth(Sample(path, "c", 1, "dent", path), 8, "squash")
    assert masked is not None
    assert masked.all()
    assert pixel_truth(Sample(path, "c", 1, "dent", None), 8, "squash") is None


# damage


def truncated(tmp_path: Path, suffix: str) -> Path:
    path = saved(tmp_path / f"whole.{suffix}", noise(64, 64, 3))
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return cut


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = truncated(tmp_path, suffix)
    with pytest.raises(BadImage, match=r"cut\.\w+: ") as caught:
        load_image(path, 8, "squash")
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def test_damaged_chunk(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(64, 64, 3))
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(BadImage, match="damaged"):
        load_image(path, 8, "squash")


@pytest.mark.parametrize("reader", [load_image, load_mask])
def test_empty_foreign_and_missing_files(tmp_path: Path, reader: object) -> None:
    cases = {"empty.png": (b"", "the file is empty"), "text.png": (b"hello, world", "no image format")}
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadImage, match=reason):
            reader(tmp_path / name, 8, "squash")
    with pytest.raises(BadImage, match="does not exist"):
        reader(tmp_path / "gone.png", 8, "squash")
    with pytest.raises(BadImage, match="directory"):
        reader(tmp_path, 8, "squash")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", noise(4, 4, 3))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(BadImage, match="permission to read it is denied"):
        load_image(path, 4, "squash")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(4, 4, 3))
    path.chmod(0)
    with pytest.raises(BadImage, match="permission to read it is denied"):
        load_image(path, 4, "squash")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [100, 20])
def test_more_pixels_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    path = saved(tmp_path / "a.png", noise(12, 12, 3))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # PIL itself warns above it, refuses above twice as many
    with pytest.raises(BadImage, match="decompression bomb"):
        load_image(path, 4, "squash")


def test_reading_leaves_no_global_state_behind(tmp_path: Path) -> None:
    with pytest.raises(BadImage):
        load_image(truncated(tmp_path, "jpg"), 8, "squash")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    script = (
        "import warnings, PIL.Image; before = (list(warnings.filters), PIL.Image.MAX_IMAGE_PIXELS);"
        "import pathlib, moleflow.data.images as m; m.load_image(pathlib.Path('whole.jpg'), 8, 'pad');"
        "assert PIL.Image.MAX_IMAGE_PIXELS == before[1]; "
        "assert not [f for f in warnings.filters if 'Bomb' in str(f)]"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [os.sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, check=True
    )


def test_bad_image_survives_pickling(tmp_path: Path) -> None:
    bad = BadImage(tmp_path / "a.png", "it is odd")
    copy = pickle.loads(pickle.dumps(bad))
    assert (copy.path, copy.reason, str(copy)) == (bad.path, bad.reason, str(bad))
    assert isinstance(copy, UsageError)


# checks


def samples_with_problems(tmp_path: Path) -> list[Sample]:
    fine = saved(tmp_path / "fine.png", noise(10, 20, 3))
    mask = saved(tmp_path / "fine_mask.png", noise(10, 20))
    small = saved(tmp_path / "small_mask.png", noise(10, 19))
    (tmp_path / "bad.png").write_bytes(b"nothing")
    return [
        Sample(fine, "c", 1, "d", mask),
        Sample(fine, "c", 1, "d", small),
        Sample(tmp_path / "bad.png", "c", 0, "good", None),
        Sample(fine, "c", 0, "good", None),
    ]


def test_check_compares_the_sizes_of_mask_and_image(tmp_path: Path) -> None:
    matching, unequal, *_ = samples_with_problems(tmp_path)
    check_sample(matching)
    with pytest.raises(BadImage, match=r"small_mask.png: mask is 19x10 .*fine.png is 20x10"):
        check_sample(unequal)


def test_check_reads_headers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", noise(8, 8, 3))

    def decode(*_: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    check_sample(Sample(path, "c", 1, "d", path))


def test_skip_separates_and_error_stops(tmp_path: Path) -> None:
    samples = samples_with_problems(tmp_path)
    usable, skipped = check_samples(samples, "skip")
    assert usable == [samples[0], samples[3]]
    assert [bad.path.name for bad in skipped] == ["small_mask.png", "bad.png"]
    with pytest.raises(BadImage, match=r"small_mask\.png.*`--on_bad_image skip` leaves it out"):
        check_samples(samples, "error")
    with pytest.raises(UsageError, match="expected skip or error"):
        check_samples(samples, "ignore")
