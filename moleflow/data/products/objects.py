"""Products that lie on a background: washer, biscuit, soft capsule, circuit board."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from moleflow.data.products.paint import (
    Colour,
    Scene,
    coverage,
    lit,
    mixed,
    over,
    placed,
    shadow,
    smooth_noise,
)


def washer(rng: np.random.Generator, size: int) -> Scene:
    """A toothed steel lock washer, turned on a lathe, on dark felt."""
    y, x = placed(rng, size, shift=0.012, turn=0.1)
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    outer = 0.385 + 0.016 * np.tanh(3 * np.cos(16 * angle)) * rng.uniform(0.95, 1.05)
    inner = np.float32(0.165)
    distance = np.maximum(radius - outer, inner - radius)
    felt = lit((0.17, 0.18, 0.21), 1 + 0.10 * smooth_noise(rng, size, size // 2, size // 2))
    backdrop = over(felt, (0.02, 0.02, 0.03), shadow(distance, 0.016))
    turned = (0.035 * rng.standard_normal(512, dtype=np.float32))[np.clip(radius * 900, 0, 511).astype(int)]
    sheen = 0.13 * np.cos(2 * (angle - 0.9 + rng.uniform(-0.15, 0.15))) + 0.05 * np.cos(4 * angle)
    chamfer = np.clip(1 + distance / 0.018, 0, 1)
    facing = np.where(radius > 0.27, -1, 1) * (np.cos(angle) + np.sin(angle))
    tone = 0.66 + turned + sheen + 0.22 * chamfer * facing + 0.02 * smooth_noise(rng, size, 6, 6)
    body = coverage(distance)
    return Scene(over(backdrop, lit((0.95, 0.97, 1.0), tone), body), body, felt, np.zeros(x.shape, int))


def biscuit(rng: np.random.Generator, size: int) -> Scene:
    """A round biscuit with a scalloped edge and pricked holes on a blue cloth."""
    y, x = placed(rng, size, shift=0.012, turn=0.06)
    radius, angle = np.hypot(y, x), np.arctan2(y, x)
    wobble = sum(0.004 * rng.standard_normal() * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4))
    outer = 0.39 + wobble + 0.011 * np.abs(np.cos(14 * angle))
    distance = (radius - outer).astype(np.float32)
    cloth = lit((0.35, 0.45, 0.55), 1 + 0.04 * smooth_noise(rng, size, size // 2, size // 4))
    backdrop = over(cloth, (0.05, 0.06, 0.10), shadow(distance, 0.014))
    crumb = smooth_noise(rng, size, size // 4, size // 4) + smooth_noise(rng, size, size // 12, size // 12)
    relief = crumb - np.roll(crumb, (-1, -1), axis=(0, 1))
    tone = 1 + 0.05 * relief + 0.03 * smooth_noise(rng, size, 8, 8)
    rim = np.exp(-((distance + 0.045) ** 2) / 2e-4).astype(np.float32)
    patches = 0.14 * smooth_noise(rng, size, 4, 4) + rng.uniform(-0.1, 0.15)
    baked = np.clip(np.clip(1 + distance / 0.13, 0, 1) ** 2 + patches, 0, 1)
    dough = mixed((0.88, 0.70, 0.44), (0.69, 0.43, 0.19), baked) * (tone - 0.10 * rim)[..., None]
    dough = over(dough, (0.42, 0.25, 0.11), 0.85 * _pricks(y, x))
    body = coverage(distance, edge=1.5)
    return Scene(over(backdrop, dough, body), body, cloth, np.zeros(x.shape, int))


def _pricks(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Coverage of 13 holes in two rings around the middle one."""
    angles = [2 * np.pi * k / 6 for k in range(6)]
    rings = [(0.0, 0.0), *((0.14, a) for a in angles), *((0.26, a + np.pi / 6) for a in angles)]
    centres = [(np.float32(r * np.sin(a)), np.float32(r * np.cos(a))) for r, a in rings]
    nearest = np.sqrt(np.min([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx in centres], axis=0))
    return coverage(nearest - 0.013, edge=3.0)


def softgel(rng: np.random.Generator, size: int) -> Scene:
    """A two-coloured capsule with printed bars, on a pale tray; the print is its part."""
    y, x = placed(rng, size, shift=0.015, turn=0.05)
    cos, sin = np.float32(np.cos(0.45)), np.float32(np.sin(0.45))
    along, across = x * cos - y * sin, x * sin + y * cos
    radius, half = np.float32(0.165), np.float32(0.21)
    distance = np.hypot(along - np.clip(along, -half, half), across) - radius
    tray = lit((0.80, 0.81, 0.83), 1 + 0.012 * smooth_noise(rng, size, size // 3, size // 3))
    backdrop = over(tray, (0.25, 0.26, 0.32), shadow(distance, 0.02))
    height = np.sqrt(np.clip(-distance / radius * (2 + distance / radius), 0, 1))
    tone = 0.52 + 0.50 * height + 0.015 * smooth_noise(rng, size, 5, 5)
    seam = np.float32(rng.uniform(-0.012, 0.012))
    colours = mixed((0.86, 0.30, 0.20), (0.95, 0.87, 0.66), coverage(seam - along))
    shell = colours * (tone - 0.16 * coverage(np.abs(along - seam) - 0.005, edge=2.0))[..., None]
    glint = np.hypot(along - np.clip(along, -0.15, 0.19), 3 * (across + 0.075)) - 0.035
    gleam = np.float32(rng.uniform(0.5, 0.65)) * coverage(glint, edge=9.0)
    plain = over(shell, (1.0, 1.0, 0.98), gleam)
    marks = _print(along, across)
    body = coverage(distance)
    printed = over(plain, (0.24, 0.16, 0.14), 0.85 * coverage(marks))
    parts = ((marks < 2 / size) & (along > 0)).astype(int)
    return Scene(over(backdrop, printed, body), body, over(backdrop, plain, body), parts)


def _print(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Signed distance to the printed bars: three of them on the pale half."""
    bars = [(0.075, 0.045), (0.125, 0.03), (0.175, 0.045)]
    boxes = [np.maximum(np.abs(along - at) - 0.011, np.abs(across - 0.02) - half) for at, half in bars]
    return np.min(boxes, axis=0)


SCALE = 3
"""The board is drawn this many times larger, then averaged."""

COMPONENTS: tuple[tuple[str, float, float, float, float], ...] = (
    ("chip", 0.34, 0.33, 0.24, 0.24),
    ("chip", 0.73, 0.66, 0.17, 0.27),
    ("capacitor", 0.76, 0.22, 0.16, 0.16),
    ("capacitor", 0.20, 0.76, 0.13, 0.13),
    ("resistor", 0.42, 0.66, 0.12, 0.055),
    ("resistor", 0.42, 0.76, 0.12, 0.055),
    ("resistor", 0.42, 0.86, 0.12, 0.055),
    ("resistor", 0.60, 0.12, 0.055, 0.12),
    ("resistor", 0.91, 0.40, 0.055, 0.12),
)
"""(kind, centre x, centre y, width, height) as shares of the side."""

TRACES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.05, 0.10), (0.18, 0.10), (0.26, 0.18), (0.26, 0.30)),
    ((0.42, 0.20), (0.50, 0.12), (0.60, 0.07)),
    ((0.60, 0.18), (0.60, 0.30), (0.66, 0.36), (0.91, 0.36)),
    ((0.48, 0.38), (0.58, 0.48), (0.58, 0.60), (0.66, 0.60)),
    ((0.48, 0.28), (0.68, 0.28)),
    ((0.20, 0.40), (0.10, 0.50), (0.10, 0.70), (0.16, 0.76)),
    ((0.24, 0.76), (0.30, 0.66), (0.38, 0.66)),
    ((0.46, 0.66), (0.54, 0.72), (0.66, 0.72)),
    ((0.46, 0.76), (0.56, 0.82), (0.70, 0.82), (0.80, 0.92), (0.95, 0.92)),
    ((0.46, 0.86), (0.54, 0.94), (0.30, 0.94), (0.05, 0.94)),
    ((0.91, 0.44), (0.91, 0.60), (0.82, 0.62)),
    ((0.30, 0.45), (0.30, 0.56), (0.38, 0.76)),
)


def board(rng: np.random.Generator, size: int) -> Scene:
    """A circuit board: the copper is the same on all, the components sit a little askew; each is a part."""
    bare = _bare_board(size) * (1 + 0.015 * smooth_noise(rng, size, size // 2, size // 2))[..., None]
    layer = Image.new("RGBA", (size * SCALE, size * SCALE))
    parts = Image.new("I", (size, size))
    for number, (kind, x, y, width, height) in enumerate(COMPONENTS, start=1):
        dx, dy = rng.uniform(-0.005, 0.005, 2)
        box = _box(x + dx, y + dy, width, height, size * SCALE)
        _DRAW[kind](ImageDraw.Draw(layer), box, rng.uniform(0.93, 1.07))
        ImageDraw.Draw(parts).rectangle(_box(x, y, width + 0.03, height + 0.03, size), fill=number)
    pixels = np.asarray(layer.reduce(SCALE), np.float32) / 255
    thrown = np.roll(pixels[..., 3], (size // 100 + 1, size // 100 + 1), axis=(0, 1))
    image = over(over(bare, (0.02, 0.07, 0.04), 0.55 * thrown), pixels[..., :3], pixels[..., 3])
    shift = rng.integers(-(size // 80), size // 80 + 1, 2)
    moved = [np.roll(a, shift, axis=(0, 1)) for a in (image, bare, np.asarray(parts).astype(int))]
    return Scene(moved[0], np.ones((size, size), np.float32), moved[1], moved[2])


@lru_cache(maxsize=4)
def _bare_board(size: int) -> np.ndarray:
    """Solder mask, traces and pads, (S, S, 3)."""
    side = size * SCALE
    image = Image.new("RGB", (side, side), _rgb((0.07, 0.34, 0.21)))
    draw = ImageDraw.Draw(image)
    for trace in TRACES:
        points = [(x * side, y * side) for x, y in trace]
        draw.line(points, fill=_rgb((0.16, 0.50, 0.30)), width=side // 70, joint="curve")
        for x, y in (points[0], points[-1]):
            _disc(draw, x, y, side / 70, (0.80, 0.68, 0.34))
            _disc(draw, x, y, side / 190, (0.06, 0.10, 0.08))
    for _, x, y, width, height in COMPONENTS:
        outline = _box(x, y, width + 0.012, height + 0.012, side)
        draw.rectangle(outline, outline=_rgb((0.78, 0.84, 0.80)), width=side // 190)
        for cx, cy in ((x - width / 3, y - height / 3), (x + width / 3, y + height / 3)):
            draw.rectangle(_box(cx, cy, width / 4, height / 4, side), fill=_rgb((0.78, 0.70, 0.45)))
    return np.asarray(image.reduce(SCALE), np.float32) / 255


def _chip(draw: ImageDraw.ImageDraw, box: tuple[float, ...], tone: float) -> None:
    """A black package with pins left and right, a notch and a line of print."""
    left, top, right, bottom = box
    pin, inset = (bottom - top) / 13, (right - left) * 0.14
    for k in range(6):
        y = top + pin * (1 + 2 * k)
        draw.rectangle((left, y, right, y + pin), fill=_rgb((0.74, 0.75, 0.77), tone))
    draw.rectangle((left + inset, top, right - inset, bottom), fill=_rgb((0.13, 0.13, 0.15), tone))
    draw.rectangle((left + inset, top, right - inset, top + pin / 3), fill=_rgb((0.30, 0.30, 0.33), tone))
    _disc(draw, left + 1.7 * inset, top + 1.3 * pin, pin / 2, (0.32, 0.32, 0.34))
    for row, share in ((0.48, 0.5), (0.60, 0.38)):
        y, half = top + (bottom - top) * row, (right - left) * share / 2
        middle = (left + right) / 2
        draw.rectangle((middle - half, y, middle + half, y + pin / 2), fill=_rgb((0.62, 0.62, 0.62)))


def _resistor(draw: ImageDraw.ImageDraw, box: tuple[float, ...], tone: float) -> None:
    """A ceramic block with tinned ends."""
    left, top, right, bottom = box
    draw.rectangle(box, fill=_rgb((0.80, 0.81, 0.83), tone))
    wide = right - left > bottom - top
    x, y = ((right - left) * 0.22, 0.0) if wide else (0.0, (bottom - top) * 0.22)
    draw.rectangle((left + x, top + y, right - x, bottom - y), fill=_rgb((0.25, 0.22, 0.24), tone))


def _capacitor(draw: ImageDraw.ImageDraw, box: tuple[float, ...], tone: float) -> None:
    """An aluminium can from above, with its dark polarity mark."""
    draw.ellipse(box, fill=_rgb((0.45, 0.46, 0.49), tone))
    left, top, right, bottom = box
    rim = (right - left) * 0.08
    inner = (left + rim, top + rim, right - rim, bottom - rim)
    draw.ellipse(inner, fill=_rgb((0.78, 0.79, 0.82), tone))
    draw.chord(inner, 120, 240, fill=_rgb((0.20, 0.20, 0.30), tone))


_DRAW = {"chip": _chip, "resistor": _resistor, "capacitor": _capacitor}


def _box(x: float, y: float, width: float, height: float, side: int) -> tuple[float, float, float, float]:
    """Corners in pixels of a rectangle given by its centre and extent as shares of the side."""
    return ((x - width / 2) * side, (y - height / 2) * side, (x + width / 2) * side, (y + height / 2) * side)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_rgb(colour))


def _rgb(colour: Colour, tone: float = 1.0) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(255 * value * tone)) for value in colour)
    return red, green, blue
