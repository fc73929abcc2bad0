"""Products that fill the image: fabric, wooden planks, mosaic tiles."""

import numpy as np

from moleflow.data.products.paint import Scene, coverage, grid, lit, mixed, over, placed, smooth_noise


def fabric(rng: np.random.Generator, size: int) -> Scene:
    """Plain weave of blue warp and pale weft; each warp yarn is a part, beneath which the weft shows."""
    yarns = 24
    y, x = placed(rng, size, shift=1 / yarns, turn=0.015)
    u = x * yarns + 0.12 * smooth_noise(rng, size, 5, 5) + 64
    v = y * yarns + 0.12 * smooth_noise(rng, size, 5, 5) + 64
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    across, along = np.cos(np.pi * (u - column - 0.5)), np.cos(np.pi * (v - row - 0.5))
    fibres = 1 + 0.05 * smooth_noise(rng, size, size // 2, size // 2)
    warp_tone = _yarn_tone(rng, column) * (0.30 + 0.75 * np.sqrt(across) * (0.6 + 0.4 * along))
    weft_tone = _yarn_tone(rng, row) * (0.30 + 0.75 * np.sqrt(along) * (0.6 + 0.4 * across))
    warp, weft = lit((0.30, 0.42, 0.62), warp_tone), lit((0.86, 0.83, 0.74), weft_tone)
    warp_on_top = ((column + row) % 2 == 0).astype(np.float32)
    sunken = weft * (0.60 - 0.30 * warp_on_top)[..., None]
    image = over(weft, warp, warp_on_top) * fibres[..., None]
    return Scene(image, np.ones_like(x), sunken * fibres[..., None], column)


def _yarn_tone(rng: np.random.Generator, index: np.ndarray) -> np.ndarray:
    """Brightness of each yarn, varying a little from yarn to yarn."""
    return (1 + 0.035 * rng.standard_normal(128, dtype=np.float32))[index]


def plank(rng: np.random.Generator, size: int) -> Scene:
    """Three boards of wood with grain along y and a groove between them."""
    y, x = placed(rng, size, shift=0.02, turn=0.01)
    position = (x + 0.5) * 3
    index = np.clip(np.floor(position), 0, 2).astype(int)
    offsets = rng.uniform(0, 9, 3).astype(np.float32)[index]
    bend = smooth_noise(rng, size, 3, 9)
    rings = 5 * position + offsets + 0.45 * bend + 0.35 * np.sin(3 * y + offsets)
    late_wood = (0.5 + 0.5 * np.sin(2 * np.pi * rings)) ** 3
    fibre = smooth_noise(rng, size, size // 32, size // 2)
    tone = 1 + 0.05 * rng.uniform(-1, 1, 3).astype(np.float32)[index] + 0.035 * fibre
    wood = mixed((0.80, 0.60, 0.39), (0.60, 0.39, 0.22), 0.75 * late_wood) * tone[..., None]
    groove = coverage(np.minimum(np.abs(position - 1), np.abs(position - 2)) / 3 - 0.004, edge=2.0)
    image = over(wood, (0.20, 0.12, 0.07), 0.85 * groove)
    return Scene(image, np.ones_like(x), np.full_like(image, 0.1), np.zeros(x.shape, int))


def mosaic(rng: np.random.Generator, size: int) -> Scene:
    """Glazed hexagonal tiles in grey grout; each tile wholly in view is a part, beneath which lies mortar."""
    y, x = placed(rng, size, shift=0.015, turn=0.012)
    pitch = np.float32(0.17)
    dy, dx, row, column = _nearest_centre(y, x, pitch)
    slanted = 0.5 * np.abs(dx) + np.sqrt(np.float32(0.75)) * np.abs(dy)
    edge = np.maximum(np.abs(dx), slanted) - pitch / 2 + 0.008
    tile = coverage(edge, edge=2.0)
    number = (row + 40) * 80 + column + 40
    tones = 1 + 0.05 * rng.standard_normal(80 * 80, dtype=np.float32)
    bevel = np.clip(1 + edge / 0.014, 0, 1) * -(dx + dy) / pitch
    glaze = 1 + 0.02 * smooth_noise(rng, size, 12, 12) + 0.45 * bevel
    tiles = lit((0.45, 0.66, 0.66), tones[number] * glaze)
    grain = 1 + 0.05 * smooth_noise(rng, size, size // 3, size // 3)
    grout, mortar = lit((0.72, 0.70, 0.66), grain), lit((0.40, 0.37, 0.33), grain)
    image, beneath = over(grout, tiles, tile), over(grout, mortar, tile)
    return Scene(image, np.ones_like(x), beneath, _whole_parts(number, tile))


def _nearest_centre(y: np.ndarray, x: np.ndarray, pitch: np.float32) -> tuple[np.ndarray, ...]:
    """Offset (dy, dx) to the nearest centre of a hexagonal lattice, and that centre's (row, column)."""
    height = pitch * np.sqrt(np.float32(3))
    candidates = []
    for shift in (0, 1):
        row, column = np.round(y / height - shift / 2), np.round(x / pitch - shift / 2)
        dy, dx = y - (row + shift / 2) * height, x - (column + shift / 2) * pitch
        candidates.append((dy, dx, 2 * row + shift, column))
    nearer = np.hypot(*candidates[1][:2]) < np.hypot(*candidates[0][:2])
    dy, dx, row, column = (np.where(nearer, b, a) for a, b in zip(*candidates, strict=True))
    return dy, dx, row.astype(int), column.astype(int)


def _whole_parts(number: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """Part numbers where a tile lies; 0 for grout and for tiles that the border cuts."""
    y, x = grid(number.shape[0])
    border = np.minimum(np.minimum(y, 1 - y), np.minimum(x, 1 - x)) < 1 / number.shape[0]
    return np.where((tile > 0) & ~np.isin(number, np.unique(number[border])), number, 0)
