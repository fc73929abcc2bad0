"""Everything documents/accuracy.md shows, from a folder of scripts/run_accuracy.sh."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moleflow.analysis.accuracy.elsewhere import elsewhere_table
from moleflow.analysis.accuracy.failures import Failure, drawn, failures_table, pictures, worst_of
from moleflow.analysis.accuracy.folder import PRESET, Backbone, read_folder
from moleflow.analysis.accuracy.tables import (
    COMPARED,
    classes_table,
    defects_table,
    difference,
    differences_table,
    few_shot_table,
    first_of,
    peers_table,
    runs_table,
    title_of,
    undone_table,
)
from moleflow.analysis.accuracy.values import MEAN, Resampled, averaged, class_values, of_same_seeds
from moleflow.analysis.output import Analysis, Picture
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.statistics.report import Resampling
from moleflow.analysis.statistics.seeds import over_seeds
from moleflow.analysis.tables import Table

Images = Callable[[FinishedRun, Sequence[Failure]], dict[tuple[str, str], np.ndarray]]
"""A run and failures -> (class, name) -> image (h, h, 3) uint8, of those whose files are there."""
CAPTION = (
    "{}: the missed defects lowest among good images (image, map, mask) and, below, the good images highest among "
    "defects (image, map), by rank within the class; maps on their class's scale."
)


def accuracy_analysis(folder: Path, images: Images, resampling: Resampling, command: str = "") -> Analysis:
    """Tables over seeds, orders, peers, few images and defects, and the worst failures.

    Args:
        folder: as scripts/run_accuracy.sh fills it; what it lacks is left out.
        images: what failures look like.
        resampling: of the standard errors.
        command: what the page names as its command.

    Raises:
        UsageError: no run of the preset is finished, or a peer was not tested on the same images.
        MoleflowError: kept scores are missing or damaged.
    """
    backbones, trouble = read_folder(folder)
    resampled = Resampled(resampling.count, resampling.seed)
    tables = {"runs": runs_table(backbones), "classes": classes_table(backbones), "peers": peers_table(backbones)}
    tables |= _known(
        differences=differences_table(backbones, resampled),
        undone=undone_table(backbones, resampled),
        elsewhere=elsewhere_table(backbones),
        few_shot=few_shot_table(backbones, resampled),
        defects=defects_table(backbones),
    )
    found = {one.name: worst_of(first_of(one)) for one in backbones}
    tables |= _known(failures=failures_table({name: chosen for name, (chosen, _) in found.items()}))
    shown = {one.name: pictures(*found[one.name], images(first_of(one), found[one.name][0])) for one in backbones}
    figures = [Picture(f"failures_{n}", drawn(own), CAPTION.format(n)) for n, own in shown.items() if own]
    finding = [sentence for one in backbones for sentence in _finding(one, resampled)]
    finding += [f"Left out: {sentence}." for sentence in trouble]
    return Analysis("Accuracy", finding, _numbers(backbones, resampling), command, figures, tables)


def _known(**tables: Table) -> dict[str, Table]:
    """Those that have a row."""
    return {name: table for name, table in tables.items() if table.rows}


def _finding(one: Backbone, resampled: Resampled) -> list[str]:
    shown = {metric: over_seeds([averaged([run], MEAN, metric) for run in one.preset]) for metric in COMPARED}
    values = ", ".join(f"{COMPARED[metric]} {value}" for metric, value in shown.items() if value is not None)
    return [
        f"{one.name}, {len(one.preset)} runs, mean over classes: {values}.",
        *(_against(one, peer, run, resampled) for peer, run in one.peers.items()),
        *_few(one, resampled),
    ]


def _against(one: Backbone, peer: str, run: FinishedRun, resampled: Resampled) -> str:
    parts = [
        f"{100 * gap:+.1f} ± {100 * (resampled.difference_error(one.preset, (run,), MEAN, metric) or 0):.1f} points of "
        f"{title}"
        for metric, title in COMPARED.items()
        if (gap := difference(one.preset, (run,), MEAN, metric)) is not None
    ]
    gaps = {
        name: gap
        for name in run.results["per_class"]
        if (gap := difference(one.preset, (run,), name, "image_auroc")) is not None
    }
    lowest = min(gaps, key=lambda name: gaps[name])
    least = f"; the worst class is {lowest} ({100 * gaps[lowest]:+.1f} image AUROC)"
    return f"{one.name}, against {title_of(peer)}: {', '.join(parts)} (± one bootstrap standard error){least}."


def _few(one: Backbone, resampled: Resampled) -> list[str]:
    """Whether the preset is within one standard error of a peer, or above, at each number of images."""
    sentences = []
    for images, methods in one.few.items():
        for peer in (name for name in methods if name != PRESET and PRESET in methods):
            pair = of_same_seeds(methods[PRESET], methods[peer])
            if not pair[0]:
                continue
            gap = difference(*pair, MEAN, "image_auroc")
            error = resampled.difference_error(*pair, MEAN, "image_auroc")
            if gap is not None and error is not None:
                side = "within one standard error or above" if gap >= -error else "below by more than that"
                sentences.append(
                    f"{one.name}, {images} training images, against {title_of(peer)}: image AUROC {100 * gap:+.1f} ± "
                    f"{100 * error:.1f}, {side}."
                )
    return sentences


def _numbers(backbones: Sequence[Backbone], resampling: Resampling) -> dict[str, Any]:
    return {
        "resamples": resampling.count,
        "seed": resampling.seed,
        "backbones": {
            one.name: {
                "preset": {run.name: class_values(run) for run in one.preset},
                "peers": {name: class_values(run) for name, run in one.peers.items()},
                "fewshot": {
                    str(images): {
                        method: [{"seed": run.record["seed"], **class_values(run)[MEAN]} for run in runs]
                        for method, runs in methods.items()
                    }
                    for images, methods in one.few.items()
                },
            }
            for one in backbones
        },
    }
