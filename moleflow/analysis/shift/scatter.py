"""Image against pixel metrics: does what finds the image also find the place?"""

from matplotlib.figure import Figure
from scipy import stats

from moleflow.analysis.forgetting_curve import STYLES
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.shift.cells import LeftOut, Study
from moleflow.evaluation.report.figures.canvas import new_figure, plain


def scatter(study: Study) -> Analysis:
    """A point a cell.

    Raises:
        LeftOut: fewer than three cells have pixel metrics.
    """
    points = [
        (place[0], image, pixel)
        for place, cell in study.cells.items()
        for image, pixel in [(cell.metric("image_auroc"), cell.metric("pixel_ap"))]
        if place[2] != "threshold" and image is not None and pixel is not None
    ]
    if len(points) < 3:
        raise LeftOut("fewer than three cells have pixel metrics")
    found = stats.spearmanr([point[1] for point in points], [point[2] for point in points])
    effect = "" if found.pvalue < 0.05 else ": no relation shown"
    finding = [f"Rank correlation of image AUROC and pixel AP over {len(points)} cells: ρ = {found.statistic:.2f} "
               f"(p = {found.pvalue:.2g}; cells share images, so p is too small){effect}."]  # fmt: skip
    picture = Picture("image_vs_pixel", draw(points), "A point is one method, severity, phase and class.")
    return Analysis("Image against pixel", finding, {"spearman": float(found.statistic)}, "", [picture])


def draw(points: list[tuple[str, float, float]]) -> Figure:
    """A mark a method."""
    figure = new_figure(4.2, 3.2)
    axes = figure.subplots()
    for method, (colour, _, mark) in zip(dict.fromkeys(point[0] for point in points), STYLES, strict=False):
        mine = [point for point in points if point[0] == method]
        axes.scatter([point[1] for point in mine], [point[2] for point in mine], s=16, color=colour, marker=mark,
                     label=method, linewidths=0.8)  # fmt: skip
    axes.set_xlabel("image AUROC, %", fontsize=9)
    axes.set_ylabel("pixel AP, %", fontsize=9)
    plain(axes)
    axes.legend(fontsize=7, frameon=False)
    return figure
