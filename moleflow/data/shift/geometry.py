"""Images and masks moved by one affine map, mirrored at their borders."""

import numpy as np
from PIL import Image


def warp(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Pixels moved by an affine map; what comes in from outside is the picture mirrored at its border.

    Args:
        pixels: uint8 (height, width, 3), sampled bicubically; or bool (height, width), each taken from the nearest.
        matrix: (3, 3), from points (x, y, 1) of the result to their source; a pixel's centre is at + 0.5.
    """
    height, width = pixels.shape[:2]
    reach = _overhang(matrix, width, height)
    pads = ((reach, reach), (reach, reach), (0, 0))[: pixels.ndim]
    mode = Image.Resampling.BICUBIC if pixels.ndim == 3 else Image.Resampling.NEAREST
    padded = Image.fromarray(np.pad(pixels.astype(np.uint8), pads, mode="reflect"))
    a, b, c, d, e, f = matrix[:2].ravel().tolist()
    moved = padded.transform((width, height), Image.Transform.AFFINE, (a, b, c + reach, d, e, f + reach), mode)
    return np.asarray(moved).astype(pixels.dtype)


def remaining(mask: np.ndarray, matrix: np.ndarray) -> float:
    """Share of a mask's pixels whose centres are still inside the picture after ``warp``; 1 where the mask is empty."""
    y, x = np.nonzero(mask)
    if not len(x):
        return 1.0
    moved = np.linalg.inv(matrix) @ np.stack([x + 0.5, y + 0.5, np.ones(len(x))])
    height, width = mask.shape
    inside = (moved[0] >= 0) & (moved[0] < width) & (moved[1] >= 0) & (moved[1] < height)
    return float(inside.mean())


def _overhang(matrix: np.ndarray, width: int, height: int) -> int:
    """Pixels by which the result's sources reach beyond the picture, with room for the bicubic kernel."""
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    x, y, _ = matrix @ corners
    return int(np.ceil(max(0.0, -x.min(), x.max() - width, -y.min(), y.max() - height))) + 3
