"""Where the backbone is excited: norms of its features over the image, layer by layer."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.evaluation.report.figures.canvas import label, new_figure
from moleflow.utils.arrays import read_arrays

MOST = 3
"""Images a class."""
ARRAYS = ("paths", "defects", "maps", "layers")


def attention(study: Study) -> Analysis:
    """A row an image: the image, then a map a layer.

    Raises:
        LeftOut: no maps were kept.
        MoleflowError: a file is damaged.
    """
    files = sorted((study.out / "side" / "attention").glob("*.npz"))
    if not files:
        raise LeftOut("no maps of the backbone were kept")
    pictures = []
    for file in files:
        content = read_arrays(
            file, lambda stored: {name: stored[name] for name in ARRAYS}, "maps", "run the study again"
        )
        pictures.append(Picture(f"attention_{file.stem}", draw(content), f"{file.stem}: norm of features by layer."))
    finding = ["The backbone is a convolutional network without attention; the maps show the norm of its features."]
    return Analysis("Maps of the backbone", finding, {}, "", pictures)


def draw(content: dict[str, np.ndarray]) -> Figure:
    """A few images with their maps."""
    count, layers = min(MOST, len(content["maps"])), [str(name) for name in content["layers"]]
    figure = new_figure(1.5 * (1 + len(layers)), 1.6 * count)
    panels = figure.subplots(count, 1 + len(layers), squeeze=False)
    for row in range(count):
        path = str(content["paths"][row])
        try:
            panels[row][0].imshow(np.asarray(Image.open(path).convert("RGB").resize((96, 96))))
        except OSError:
            panels[row][0].text(0.5, 0.5, "image is gone", ha="center", fontsize=6)
        panels[row][0].set_title(label(str(content["defects"][row]), 18), fontsize=7)
        for column, name in enumerate(layers):
            panels[row][1 + column].imshow(content["maps"][row][column].astype(float), cmap="Greys_r")
            panels[row][1 + column].set_title(label(name, 18), fontsize=7)
        for axes in panels[row]:
            axes.set_axis_off()
    return figure
