"""The figures of a report: plain arrays in, one PNG file out."""

from moleflow.evaluation.report.figures.curves import training_curves
from moleflow.evaluation.report.figures.gallery import GalleryRow, heatmap_gallery
from moleflow.evaluation.report.figures.histograms import score_histograms
from moleflow.evaluation.report.figures.matrix import task_matrix

__all__ = ["GalleryRow", "heatmap_gallery", "score_histograms", "task_matrix", "training_curves"]
