"""Patch scores of a run's last evaluation, a file a class: statistics are made from them, without images or model."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import torch

from moleflow.data.images import pixel_truth
from moleflow.data.sample import Sample
from moleflow.evaluation.evaluator import ClassScores, Evaluator
from moleflow.models.scoring.smoothing import PixelMap
from moleflow.utils.arrays import read_arrays, write_arrays
from moleflow.utils.sums import Sums, beside

FOLDER = "scores"
"""Where a run keeps them."""

LARGEST = 60000.0
"""Of a stored value: fp16 ends at 65504."""


@dataclass(frozen=True)
class KeptScores:
    """One class's test images and what was said of them.

    Attributes:
        names: of the images, relative to the folder that holds them all, (n,) text.
        labels: 0 for good, 1 for defect, (n,).
        defects: type of each image's defect, ``good`` where it has none, (n,) text.
        task: the name of the class's task.
        routed_tasks: the task the router gave each image, (n,) text.
        oracle, routed: the image scores that metrics were taken of, higher is more anomalous, (n,).
        oracle_patches, routed_patches: patch scores (n, H, W), moved and stretched alike.
        known: whether the defect's pixels are known, (n,) bool.
        truths: defect pixels of the m images that are ``known``, (m, h, h) bool.
        blur: (σ in pixels, weight) of each Gaussian of the pixel map, (k, 2).
    """

    names: np.ndarray
    labels: np.ndarray
    defects: np.ndarray
    task: str
    routed_tasks: np.ndarray
    oracle: np.ndarray
    routed: np.ndarray
    oracle_patches: np.ndarray
    routed_patches: np.ndarray
    known: np.ndarray
    truths: np.ndarray
    blur: np.ndarray

    def images(self, route: str) -> np.ndarray:
        """Image scores (n,) of the route ``oracle`` or ``routed``."""
        return {"oracle": self.oracle, "routed": self.routed}[route]

    def maps(self, route: str) -> np.ndarray:
        """Pixel maps (m, h, h) of the images whose defects are known, as the model would draw them."""
        return self.drawn(route, np.flatnonzero(self.known))

    def drawn(self, route: str, rows: np.ndarray) -> np.ndarray:
        """Pixel maps (k, h, h) of the images at the given places (k,)."""
        patches = {"oracle": self.oracle_patches, "routed": self.routed_patches}[route][rows]
        draw = PixelMap(self.truths.shape[-1], {float(sigma): float(weight) for sigma, weight in self.blur})
        parts = [draw(torch.from_numpy(patches[start : start + 32])).numpy() for start in range(0, len(patches), 32)]
        return np.concatenate([np.zeros((0, *self.truths.shape[1:]), np.float32), *parts])

    def truth(self, row: int) -> np.ndarray | None:
        """Defect pixels (h, h) of one image; None where they are not known."""
        return self.truths[self.known[:row].sum()] if self.known[row] else None

    def save(self, file: Path) -> None:
        """Write the scores: patches in fp16, those of the routed way only where it differs, truths as bits."""
        elsewhere = np.flatnonzero((self.routed_patches != self.oracle_patches).any((1, 2)))
        offset, scale = _frame(self.oracle_patches)
        arrays = {
            **{name: getattr(self, name) for name in PLAIN},
            "task": np.array(self.task),
            "oracle_patches": _half((self.oracle_patches - offset) / scale),
            "elsewhere": elsewhere,
            "elsewhere_patches": _half((self.routed_patches[elsewhere] - offset) / scale),
            "size": np.array(self.truths.shape[-1]),
            "truth_bits": np.packbits(self.truths),
        }
        write_arrays(file, **arrays)

    @classmethod
    def load(cls, file: Path) -> "KeptScores":
        """Read what ``save`` wrote.

        Raises:
            MoleflowError: the file is missing or damaged.
        """
        way_out = "`python -m moleflow evaluate --run DIR` takes them again"
        return read_arrays(file, lambda stored: cls(**{name: stored[name] for name in PLAIN}, **_unpacked(stored)),
                           "scores of a class", way_out)  # fmt: skip


PLAIN = ("names", "labels", "defects", "routed_tasks", "oracle", "routed", "known", "blur")
"""What is stored as it is."""


def keep_scores(sums: Sums, evaluator: Evaluator) -> None:
    """Write what the evaluator scored last into a run's folder; classes that are not there any more lose their file."""
    files = {file_of(sums.folder, name): scores for name, scores in evaluator.scores.items()}
    for file, scores in files.items():
        kept_scores(evaluator, scores).save(beside(file))
    sums.adopt(_names(files))
    sums.remove(_names(set((sums.folder / FOLDER).glob("*.npz")) - set(files)))


def drop_scores(sums: Sums) -> None:
    """Remove what ``keep_scores`` wrote."""
    sums.remove(_names((sums.folder / FOLDER).glob("*.npz")))


def _names(files: Iterable[Path]) -> list[str]:
    return [f"{FOLDER}/{file.name}" for file in files]


def read_scores(folder: Path) -> dict[str, KeptScores]:
    """Class -> its scores, for every class that a run's folder has scores of; sorted by class."""
    return {unquote(file.stem): KeptScores.load(file) for file in sorted((folder / FOLDER).glob("*.npz"))}


def file_of(folder: Path, class_name: str) -> Path:
    """Where a run's folder keeps the scores of a class."""
    return folder / FOLDER / f"{quote(class_name, safe='')}.npz"


def kept_scores(evaluator: Evaluator, scores: ClassScores, names: Iterable[str] | None = None) -> KeptScores:
    """What is worth keeping of a class's scores, under names (n,); None: where the images lie below one folder."""
    size = evaluator.model.extractor.img_size
    truths = [pixel_truth(sample, size, evaluator.resize) for sample in scores.samples]
    known = [truth for truth in truths if truth is not None]
    return KeptScores(
        names=np.array(list(relative_names(scores.samples) if names is None else names), dtype=str),
        labels=scores.labels.astype(np.int64),
        defects=np.array([sample.defect for sample in scores.samples], dtype=str),
        task=scores.task,
        routed_tasks=np.array(scores.routed_tasks, dtype=str),
        oracle=evaluator.as_measured(scores.oracle, [scores.task] * len(scores.samples)),
        routed=evaluator.as_measured(scores.routed, scores.routed_tasks),
        oracle_patches=scores.oracle_patches.numpy(),
        routed_patches=scores.routed_patches.numpy(),
        known=np.array([truth is not None for truth in truths], dtype=bool),
        truths=np.stack([np.zeros((size, size), bool), *known])[1:],
        blur=np.array(list(evaluator.model.pixel_map.mix.items()), dtype=np.float64).reshape(-1, 2),
    )


def relative_names(samples: Sequence[Sample]) -> Iterator[str]:
    """Names that do not depend on where the images lie."""
    top = os.path.commonpath([sample.path.parent for sample in samples]) if samples else ""
    return (sample.path.relative_to(top).as_posix() for sample in samples)


def _frame(patches: np.ndarray) -> tuple[np.float32, np.float32]:
    """Median and spread: relative to them, fp16 is finest where scores lie densest."""
    if not patches.size:
        return np.float32(0), np.float32(1)
    low, middle, high = np.percentile(patches, [16, 50, 84])
    return np.float32(middle), np.float32(max(high - low, np.finfo(np.float32).tiny))


def _half(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -LARGEST, LARGEST).astype(np.float16)


def _unpacked(stored: Any) -> dict[str, Any]:
    size, known = int(stored["size"]), stored["known"]
    bits = np.unpackbits(stored["truth_bits"], count=int(known.sum()) * size * size)
    oracle = stored["oracle_patches"].astype(np.float32)
    routed = oracle.copy()
    routed[stored["elsewhere"]] = stored["elsewhere_patches"]
    return {
        "task": str(stored["task"]),
        "oracle_patches": oracle,
        "routed_patches": routed,
        "truths": bits.astype(bool).reshape(-1, size, size),
    }
