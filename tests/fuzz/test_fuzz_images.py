"""Whatever the bytes of an image file are: pixels of the asked size, or a ``BadImage`` of one line."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fuzzing import fuzz
from hypothesis import strategies as st
from PIL import Image

from moleflow.data.images import BadImage, check_sample, defect_area, load_image, load_mask
from moleflow.data.sample import Sample
from moleflow.utils.text import shown

SIDE = 24
MODES = {
    "png": ("L", "RGB", "RGBA", "P", "I;16", "1"),
    "jpeg": ("L", "RGB", "CMYK"),
    "bmp": ("L", "RGB", "P", "1"),
    "tiff": ("L", "RGB", "RGBA", "I;16", "F", "CMYK"),
    "webp": ("RGB", "RGBA"),
}
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]

cut = st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=8))
number = st.tuples(st.floats(0, 1), st.just(4), st.sampled_from(EXTREMES).map(lambda value: struct.pack("<I", value)))
big_endian = st.tuples(
    st.floats(0, 1), st.just(4), st.sampled_from(EXTREMES).map(lambda value: struct.pack(">I", value))
)
truncated = st.tuples(st.floats(0, 1), st.just(10**6), st.just(b""))
changes = st.lists(st.one_of(cut, number, big_endian, truncated), max_size=4)


@cache
def whole(kind: str, mode: str) -> bytes:
    """A sound file, with EXIF and with frames where the format has them."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGB")
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"exif": exif} if kind in ("jpeg", "png", "webp", "tiff") else {}
    if kind == "tiff" and mode == "RGB":
        more |= {"save_all": True, "append_images": [image], "compression": "tiff_lzw"}
    if kind in ("webp", "png") and mode == "RGBA":
        more |= {"save_all": True, "append_images": [image.rotate(90)]}
    file = io.BytesIO()
    image.save(file, format=kind, **more)
    return file.getvalue()


def harmed(data: bytes, found: list[tuple[float, int, bytes]]) -> bytes:
    for place, gone, put in found:
        start = int(place * len(data))
        data = data[:start] + put + data[start + gone :]
    return data


def mended(png: bytes) -> bytes:
    """The same PNG with right check sums, so that damage reaches what reads the chunks."""
    result, place = png[:8], 8
    while place + 12 <= len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        body = png[place + 4 : place + 8 + length]
        result += png[place : place + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        place += 12 + length
    return result


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes for a bomb is smaller here, so that an example with a large header takes no seconds."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1 << 20)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", MODES)
def test_any_bytes_are_pixels_or_a_bad_image(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a\n.png"

    def holds(example: tuple[str, list[tuple[float, int, bytes]], bool, str]) -> None:
        mode, found, mend, resize = example
        data = harmed(whole(kind, mode), found)
        file.write_bytes(mended(data) if mend and kind == "png" else data)
        try:
            check_sample(Sample(file, "c", 0, "good", None))
            pixels = load_image(file, 16, resize, rotation=30.0 * mend)
            assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
            assert load_mask(file, 16, resize).shape == (16, 16)
            assert defect_area(file) >= 0
        except BadImage as bad:
            assert (bad.path, str(bad)) == (file, shown(bad))  # noqa: PT017

    resize = st.sampled_from(["squash", "pad", "crop"])
    fuzz(st.tuples(st.sampled_from(MODES[kind]), changes, st.booleans(), resize), holds)


def test_what_is_changed_was_sound(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    for kind, modes in MODES.items():
        for mode in modes:
            file.write_bytes(whole(kind, mode))
            if mode == "F":
                with pytest.raises(BadImage, match="floating-point"):
                    load_image(file, 16, "squash")
            else:
                assert load_image(file, 16, "squash").std() > 0, (kind, mode)
    assert mended(whole("png", "RGB")) == whole("png", "RGB")
