"""What all figures share: a canvas without global state, safe labels, small files."""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from moleflow.utils.io import write_bytes

DARK, LIGHT, ACCENT = "#1f2a37", "#9fc3e8", "#c2410c"  # apart in grey, too
FINEST, COARSEST = 130.0, 60.0  # dots per inch
MAX_BYTES = 250_000
SIX_BITS = [round(round(value * 63 / 255) * 255 / 63) for value in range(256)]  # white stays; noise packs in time


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty figure, in inches, that pyplot and its list of open figures do not know."""
    return Figure(figsize=(width, height), dpi=FINEST, layout=layout)


def grid(figure: Figure, count: int, columns: int) -> list[Axes]:
    """`count` axes in rows of `columns`; the places left over stay empty."""
    cells = figure.subplots(math.ceil(count / columns), columns, squeeze=False).ravel().tolist()
    for unused in cells[count:]:
        unused.set_axis_off()
    return cells[:count]


def label(text: str, longest: int = 24) -> str:
    """A name as matplotlib may print it: one line, at most `longest` characters, dollars not taken for formulas."""
    line = " ".join(text.split())
    if len(line) > longest:  # both ends are kept: names often differ in the last characters only
        line = f"{line[: longest // 2]}…{line[1 + longest // 2 - longest :]}"
    return line.replace("$", r"\$")


def plain(axes: Axes) -> None:
    """Take away the frame's upper and right side and draw a faint horizontal grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


@contextmanager
def any_glyph() -> Iterator[None]:
    """Within, glyphs that the font lacks are drawn as boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def arrange(figure: Figure) -> None:
    """Find every part's place, once: finding places is most of a drawing's time, and each file is a drawing."""
    engine = figure.get_layout_engine()
    if engine is not None and figure.axes:  # one that has none has no places
        engine.execute(figure)
        figure.set_layout_engine("none")


def save(figure: Figure, path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Write a PNG of at most 256 colours, coarser than `FINEST` where it would be larger than `max_bytes`."""
    with any_glyph():
        arrange(figure)
        data = _png(figure, FINEST)
        if len(data) > max_bytes:
            data = _png(figure, max(COARSEST, 0.95 * FINEST * math.sqrt(max_bytes / len(data))))
    write_bytes(path, data, durable=False)


def _png(figure: Figure, dpi: float) -> bytes:
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    coarse = image.point(SIX_BITS * len(image.getbands()))
    file = io.BytesIO()
    coarse.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, format="png")
    return file.getvalue()
