"""Everything people look at after a run: the terminal's table, results.csv, predictions.csv, figures, report.html."""

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from rich.console import Console

from moleflow.config.run import RunConfig
from moleflow.data.images import load_image, pixel_truth
from moleflow.evaluation.evaluator import ClassScores, Evaluator
from moleflow.evaluation.kept import drop_scores, keep_scores
from moleflow.evaluation.report.figures import (
    GalleryRow,
    heatmap_gallery,
    score_histograms,
    task_matrix,
    training_curves,
)
from moleflow.evaluation.report.html import write_report as write_page
from moleflow.evaluation.report.table import print_results
from moleflow.evaluation.results import write_csv
from moleflow.utils.io import write_rows
from moleflow.utils.log import read_metrics
from moleflow.utils.sums import Sums, beside
from moleflow.utils.text import shown

TITLES = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}
"""Metrics whose task matrix is drawn."""
FIGURES = "figures"
"""Where a run keeps them."""


def write_report(folder: Path, results: dict[str, Any], evaluator: Evaluator, run: RunConfig) -> None:
    """Print the results and write all that is derived from them.

    Args:
        folder: the run's folder.
        results: the content of results.json.
        evaluator: holds the scores of the last evaluation; without scores only the table is printed.
        run: how the run was made.
    """
    print_results(results, Console())
    if evaluator.scores:
        sums = Sums(folder)
        write_csv(results, beside(folder / "results.csv"))
        write_predictions(evaluator, beside(folder / "predictions.csv"))
        keep_scores(sums, evaluator) if run.output.keep_scores else drop_scores(sums)
        figures = draw_figures(folder, results, evaluator) if run.output.figures else []
        sums.adopt(["results.csv", "predictions.csv", *(f"{FIGURES}/{file.name}" for file in figures)])
        write_page(folder, results, sums.read_json("cost.json"), figures, beside(folder / "report.html"))
        sums.adopt(["report.html"])
    print(f"{'report' if (folder / 'report.html').exists() else 'run'}: {folder / 'report.html'}")


PREDICTION_COLUMNS = (
    "path", "class", "defect", "label", "task", "routed_task", "score", "oracle_score", "threshold", "anomalous",
    "unknown",
)  # fmt: skip
"""Scores and thresholds are on the run's scale; the decision is the one they mean, or S8's where regions decide."""


def write_predictions(evaluator: Evaluator, path: Path) -> None:
    """One row for each test image: its truth, its routed task, its scores and its task's threshold, the decisions."""
    rows = (row for name, scores in evaluator.scores.items() for row in _prediction_rows(evaluator, name, scores))
    write_rows(path, [PREDICTION_COLUMNS, *rows])


def _prediction_rows(evaluator: Evaluator, name: str, scores: ClassScores) -> Iterator[list[Any]]:
    own = [scores.task] * len(scores.samples)
    raw_thresholds = np.array([evaluator.model.threshold(task).item() for task in scores.routed_tasks])
    decided = evaluator.decided(scores.routed_patches, scores.routed, scores.routed_tasks)
    routed = evaluator.calibrated(scores.routed, scores.routed_tasks)
    oracle = evaluator.calibrated(scores.oracle, own)
    thresholds = evaluator.calibrated(raw_thresholds, scores.routed_tasks)
    for index, (sample, sent) in enumerate(zip(scores.samples, scores.routed_tasks, strict=True)):
        called = decided[index]
        anomalous = "" if called is None else int(called)
        numbers = [_cell(value[index]) for value in (routed, oracle, thresholds)]
        truth = [sample.path, name, sample.defect, sample.label, scores.task, sent]
        yield [*truth, *numbers, anomalous, int(scores.unknown[index])]


def _cell(value: float) -> str:
    """A number; empty where the held-out images give no scale to say it on."""
    return "" if math.isnan(value) else f"{value:.9g}"


def draw_figures(folder: Path, results: dict[str, Any], evaluator: Evaluator) -> list[Path]:
    """Write the figures of a run beside their places.

    Returns:
        Their places, in the order a reader wants them.
    """
    figures = folder / FIGURES
    tasks = ["+".join(classes) for classes in results["tasks"]]
    files = []
    for name, scores in evaluator.scores.items():
        files.append(figures / f"gallery_{quote(name, safe='')}.png")
        heatmap_gallery(gallery_rows(evaluator, scores), beside(files[-1]), name)
    files.append(figures / "score_histograms.png")
    thresholds = {
        name: _number(evaluator.model.threshold(scores.task).item()) for name, scores in evaluator.scores.items()
    }
    score_histograms(
        {name: (s.labels, s.routed) for name, s in evaluator.scores.items()}, thresholds, beside(files[-1])
    )
    for metric, title in TITLES.items():
        files.append(figures / f"task_matrix_{metric}.png")
        task_matrix(results["matrix"][metric], tasks, f"{title}, oracle route", beside(files[-1]))
    files.append(figures / "training_curves.png")
    training_curves(_losses(folder), beside(files[-1]))
    return [file for file in files if beside(file).exists()]


def gallery_rows(evaluator: Evaluator, scores: ClassScores, most: int = 5) -> list[GalleryRow]:
    """The median good image and the median image of each defect type: typical ones, not the best."""
    by_type: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(scores.samples):
        by_type[sample.defect].append(index)
    ordered = sorted(by_type, key=lambda defect: (defect != "good", defect))[:most]
    return [_row(evaluator, scores, _median(by_type[defect], scores.routed)) for defect in ordered]


def _median(indices: list[int], values: np.ndarray) -> int:
    return sorted(indices, key=lambda index: float(values[index]))[len(indices) // 2]


def _row(evaluator: Evaluator, scores: ClassScores, index: int) -> GalleryRow:
    sample, size = scores.samples[index], evaluator.model.extractor.img_size
    threshold = evaluator.model.threshold(scores.routed_tasks[index]).item()
    return GalleryRow(
        load_image(sample.path, size, evaluator.resize),
        pixel_truth(sample, size, evaluator.resize),
        evaluator.pixel_maps(scores.routed_patches[index : index + 1])[0],
        shown(f"{sample.defect}/{sample.path.stem}"),
        float(scores.routed[index]),
        _number(threshold),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _losses(folder: Path) -> dict[str, list[tuple[float, dict[str, float]]]]:
    curves: dict[str, list[tuple[float, dict[str, float]]]] = defaultdict(list)
    for row in read_metrics(folder):
        if "step" in row:
            if row["step"] == 0:
                curves[row["task"]] = []
            curves[row["task"]].append((row["step"], {k: v for k, v in row.items() if k not in ("task", "step", "lr")}))
    return curves
