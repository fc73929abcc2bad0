"""Image and mask files to arrays of one size, with one sentence for every file that cannot be read."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from moleflow.data.rotation import rotated
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.io import open_regular
from moleflow.utils.text import did_you_mean, shown

RESIZE_MODES = ("squash", "pad", "crop", "fit")
SIDE_STEPS, LONGEST = 8, 4.0
"""With ``fit``: steps in a square's side, and how many times as long a side may be, at most."""
ORIENTATION_TAG = 0x0112
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
"""What is decoded, by a file's content and never by its name: PIL knows dozens more, and each is a door."""
SKIP = "`--on_bad_image skip` leaves it out"
SMALLEST_SIDE = 2
"""Pixels; what is a line or a point shows no product."""


class BadImage(UsageError):
    """A file that is no usable image.

    Attributes:
        path: the file at fault.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both in args, so that it survives pickling between processes
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot use image {shown(self.path)}: {shown(self.reason)}"


class UnsupportedPixels(ValueError):
    """Pixel values that have no defined place in 0..255; ``_opened`` makes it a ``BadImage``."""


def load_image(path: Path, size: int, resize: str, rotation: float = 0.0) -> np.ndarray:
    """An image file as RGB, uint8 (size, size, 3).

    16-bit grey is scaled from its full range 0..65535. Transparent pixels become black: formats leave the
    colour under them undefined, and black is what ``pad`` adds as well. EXIF orientation is applied, whatever
    it is. Of several frames the first counts. The file is in one of ``FORMATS``, whatever its name says.

    Args:
        path: the file.
        size: side of the result in pixels.
        resize: ``squash`` the whole image to the square, ``pad`` it with black to keep its aspect ratio, or
            ``crop`` its central square; bilinear and antialiased. ``fit`` is what a backbone sees (``load_input``):
            its features are brought to a square, and so is the image here.
        rotation: degrees counter-clockwise, applied before resizing, so that shapes stay what they are.

    Raises:
        BadImage: the file cannot be read.
        UsageError: ``resize`` is unknown.
    """
    with _opened(path) as image:
        rgb = _to_rgb(ImageOps.exif_transpose(image))
        return np.asarray(_to_square(rotated(rgb, rotation), size, resize))


def load_input(path: Path, size: int, resize: str, rotation: float = 0.0) -> np.ndarray:
    """What a backbone sees of an image file, uint8 (height, width, 3): ``load_image``, but ``fit`` keeps the shape.

    Raises:
        BadImage: the file cannot be read.
        UsageError: ``resize`` is unknown.
    """
    if resize != "fit":
        return load_image(path, size, resize, rotation)
    with _opened(path) as image:
        rgb = rotated(_to_rgb(ImageOps.exif_transpose(image)), rotation)
        height, width = fitted(rgb.height, rgb.width, size)
        return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR))


def fitted(height: int, width: int, size: int) -> tuple[int, int]:
    """The rectangle of about size² pixels in which an image of (height, width) keeps its shape, (height, width).

    Sides are multiples of size / 8, so that images of nearly one shape have one shape; a square stays (size, size).
    """
    stretch = min(max(math.sqrt(height / width), 1 / LONGEST), LONGEST)
    down, across = round(SIDE_STEPS * stretch), round(SIDE_STEPS / stretch)
    return round(size * down / SIDE_STEPS), round(size * across / SIDE_STEPS)


def fits(height: int, width: int, size: int) -> bool:
    """Whether ``fitted`` may have given this rectangle: sides are of its steps, and pixels about size²."""
    sides = {round(size * steps / SIDE_STEPS) for steps in range(1, round(SIDE_STEPS * LONGEST) + 1)}
    return {height, width} <= sides and abs(height * width / size**2 - 1) < 0.25


def native_image(path: Path) -> np.ndarray:
    """An image file at its own size as RGB, uint8 (height, width, 3), by the rules of ``load_image``.

    Raises:
        BadImage: the file cannot be read.
    """
    with _opened(path) as image:
        return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))


def load_mask(path: Path, size: int, resize: str) -> np.ndarray:
    """A mask file as bool (size, size), True where there is a defect.

    The mask is made binary (non-zero) at its own size first, then brought to ``size`` with the geometry of
    ``load_image`` as the covered share of each pixel, then thresholded at > 0.5: defects neither grow nor
    depend on the value that marks them, and what covers no more than half a pixel vanishes.

    Raises:
        BadImage: the file cannot be read.
        UsageError: ``resize`` is unknown.
    """
    with _opened(path) as image:
        defect = _nonzero(ImageOps.exif_transpose(image))
        covered = _to_square(Image.fromarray(defect.astype(np.float32)), size, resize)
        return np.asarray(covered) > 0.5


def native_mask(path: Path) -> np.ndarray:
    """A mask file at its own size as bool (height, width), True where it is not zero.

    Raises:
        BadImage: the file cannot be read.
    """
    with _opened(path) as image:
        return _nonzero(ImageOps.exif_transpose(image))


def defect_area(path: Path) -> int:
    """Defect pixels of a mask file at its own size. Raises BadImage as ``native_mask`` does."""
    return int(native_mask(path).sum())


def pixel_truth(sample: Sample, size: int, resize: str) -> np.ndarray | None:
    """Defect pixels of a sample, bool (size, size); None for a defective image without mask or with an empty one."""
    if sample.mask is not None:
        truth = load_mask(sample.mask, size, resize)
        return truth if truth.any() or defect_area(sample.mask) else None
    return None if sample.label else np.zeros((size, size), dtype=bool)


def check_sample(sample: Sample) -> None:
    """Read the headers of a sample's files.

    Raises:
        BadImage: image or mask does not open, or they differ in size.
    """
    width, height = upright_size(sample.path)
    if sample.mask is None:
        return
    mask_width, mask_height = upright_size(sample.mask)
    if (mask_width, mask_height) != (width, height):
        sizes = f"mask is {mask_width}x{mask_height} pixels, its image {shown(sample.path)} is {width}x{height}"
        raise BadImage(sample.mask, f"{sizes}: make them equal")


def check_samples(samples: Sequence[Sample], on_bad_image: str) -> tuple[list[Sample], list[BadImage]]:
    """Split samples into the usable ones and what is wrong with the others, by their headers alone.

    Args:
        samples: what to check.
        on_bad_image: ``skip`` leaves bad ones out; ``error`` stops at the first.

    Raises:
        BadImage: a sample is bad and ``on_bad_image`` is ``error``.
        UsageError: ``on_bad_image`` is neither.
    """
    if on_bad_image not in ("skip", "error"):
        raise UsageError(f"unknown on_bad_image {on_bad_image!r}, expected skip or error")
    usable: list[Sample] = []
    skipped: list[BadImage] = []
    for sample in samples:
        try:
            check_sample(sample)
            usable.append(sample)
        except BadImage as bad:
            if on_bad_image == "error":
                raise BadImage(bad.path, f"{bad.reason}; {SKIP}") from bad
            skipped.append(bad)
    return usable, skipped


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open image; whatever goes wrong while it is decoded becomes a ``BadImage``."""
    try:
        with open_regular(path) as file, Image.open(file, formats=FORMATS) as image:
            # up to twice its limit PIL only warns, and a filter on warnings is global state for all threads
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
            if min(image.size) < SMALLEST_SIDE:
                raise UnsupportedPixels(
                    f"it is {image.width}x{image.height} pixels: a side has {SMALLEST_SIDE} at least"
                )
            yield image
    except UsageError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files, such as SyntaxError
        raise BadImage(path, _reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    match error:
        case FileNotFoundError():
            return "it does not exist (any more)"
        case PermissionError():
            return "permission to read it is denied"
        case Image.DecompressionBombError() | Image.DecompressionBombWarning():
            return f"more than {Image.MAX_IMAGE_PIXELS} pixels, which may be a decompression bomb ({error})"
        case UnsupportedPixels():
            return str(error)
        case MemoryError():
            return "there is not enough memory to decode it"
        case UnidentifiedImageError():
            return f"it is in no image format of {', '.join(FORMATS)}" if _has_content(path) else "the file is empty"
        case OSError(strerror=str()):
            return f"the system cannot read it ({error.strerror})"
        case _:
            return f"it is truncated or damaged ({error or type(error).__name__})"


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # gone since
        return True


def upright_size(path: Path) -> tuple[int, int]:
    """(width, height) after EXIF orientation, from the header. Raises BadImage where it cannot be read."""
    with _opened(path) as image:
        # the first test keeps PIL from decoding a whole PNG for its EXIF; a TIFF's size is upright already
        sideways = "exif" in image.info and image.getexif().get(ORIENTATION_TAG, 1) >= 5
        return (image.height, image.width) if sideways else image.size


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image).convert("RGB")
    if image.mode == "F":
        raise UnsupportedPixels("floating-point pixels have no fixed range: convert them to 8 or 16 bits")
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """8-bit grey from 16-bit grey: the full range is kept, never clipped or stretched per image."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        found = f"pixel values {values.min()} to {values.max()} exceed 16 bits"
        raise UnsupportedPixels(f"{found}: convert them to 8 or 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _nonzero(image: Image.Image) -> np.ndarray:
    """Where a mask is set, bool (height, width): by raw value if it is grey, else by any visible colour."""
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        return np.asarray(image).astype(bool)
    return np.asarray(_to_rgb(image)).max(axis=-1) > 0


def _to_square(image: Image.Image, size: int, resize: str) -> Image.Image:
    """The image at (size, size); PIL's bilinear filter widens with the scale, which is the antialiasing."""
    width, height = image.size
    match resize:
        case "squash" | "fit":
            return image.resize((size, size), Image.Resampling.BILINEAR)
        case "pad":
            scale = size / max(width, height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            square = Image.new(image.mode, (size, size))
            corner = ((size - inner[0]) // 2, (size - inner[1]) // 2)
            square.paste(image.resize(inner, Image.Resampling.BILINEAR), corner)
            return square
        case "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            middle = (left, top, left + side, top + side)
            return image.resize((size, size), Image.Resampling.BILINEAR, box=middle)
    hint = did_you_mean(resize, RESIZE_MODES)
    raise UsageError(f"unknown resize {resize!r}, expected one of {', '.join(RESIZE_MODES)}{hint}")
