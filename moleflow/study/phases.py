"""The phases of the study: which detector sees which images, and where its threshold comes from."""

import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from moleflow.evaluation.metrics import image_metrics
from moleflow.evaluation.scored import Scored
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, RESULT, TEST, VAL, cell, phases_of
from moleflow.study.methods import METHODS, Detector, Method
from moleflow.study.results import at_threshold, judged, pooled, threshold_of
from moleflow.utils.io import read_json, write_json


class Seen(NamedTuple):
    """One part of a class's images as a detector scored it.

    Attributes:
        scored: images and scores.
        ms_per_image: milliseconds an image, its features given.
        details: what the scores say of a method that chooses its expert.
    """

    scored: Scored
    ms_per_image: float
    details: Mapping[str, float | None]


def look(bench: Bench, detector: Detector, severity: str, class_name: str, part: str) -> Seen:
    """Score a part of a class."""
    samples = bench.part(severity, class_name, part)
    seconds, verdicts = 0.0, []
    for features in bench.batches(samples):
        start = time.perf_counter()
        with torch.no_grad():
            verdicts.append(detector.score(features, class_name, severity))
        seconds += time.perf_counter() - start
    images, maps = (np.concatenate([getattr(verdict, name) for verdict in verdicts]) for name in ("images", "maps"))
    scored = Scored(samples, images, maps)
    homes = [verdict.at_home for verdict in verdicts if verdict.at_home is not None]
    own = [verdict.at_home_images for verdict in verdicts if verdict.at_home_images is not None]
    details = _routing(scored, np.concatenate(homes), np.concatenate(own)) if homes else {}
    return Seen(scored, 1000 * seconds / len(samples), details)


def _routing(scored: Scored, at_home: np.ndarray, own: np.ndarray) -> dict[str, float | None]:
    auroc = image_metrics(scored.labels, own)["image_auroc"]
    return {"routing_accuracy": float(at_home.mean()), "image_auroc_of_own_expert": auroc}


class Phases:
    """All phases of one method.

    Args:
        bench: images and features.
        name: the method.
        out: folder of the study.
    """

    def __init__(self, bench: Bench, name: str, out: Path):
        self.bench, self.name, self.out = bench, name, out
        self._clean: dict[str, Detector] = {}

    @cached_property
    def _method(self) -> Method:
        """Made when something is left to do."""
        return METHODS[self.name](self.bench)

    def todo(self) -> list[tuple[str, str]]:
        """(severity, phase) with a cell that is not done, in the order of the study."""
        pairs = [(severity, phase) for severity in self.bench.splits for phase in phases_of(severity)]
        return [pair for pair in pairs if not all(self._done(*pair, name) for name in self.bench.classes)]

    def run(self, severity: str, phase: str) -> None:
        """Do the cells of a phase that are not done."""
        {CLEAN: self._as_fitted, "none": self._unadapted, "threshold": self._rethresholded, "full": self._as_fitted,
         "global": self._of_all}[phase](severity, phase)  # fmt: skip

    def _as_fitted(self, severity: str, phase: str) -> None:
        """A detector a class, fitted to the severity; its own threshold."""
        for name in self._left(severity, phase):
            detector = self._clean_of(name) if severity == CLEAN else self._method.fitted(severity, (name,))
            val, test = self._see(detector, severity, phase, name)
            after = None if severity == CLEAN else self._on_clean(detector, name)
            self._write(severity, phase, name, detector, val, test, threshold_of(val.scored), after)

    def _unadapted(self, severity: str, phase: str) -> None:
        """The detector and the threshold of clean images."""
        for name in self._left(severity, phase):
            val, test = self._see(self._clean_of(name), severity, phase, name)
            threshold = read_json(cell(self.out, self.name, CLEAN, CLEAN, name) / RESULT)["threshold"]
            self._write(severity, phase, name, self._clean_of(name), val, test, threshold)

    def _rethresholded(self, severity: str, phase: str) -> None:
        """The scores of ``none`` with a threshold from shifted validation images; nothing is scored again."""
        for name in self._left(severity, phase):
            before, folder = (cell(self.out, self.name, severity, which, name) for which in ("none", phase))
            for file in (VAL, TEST):
                _linked(before / file, folder / file)
            threshold = threshold_of(Scored.load(before / VAL))
            decisions = at_threshold(Scored.load(before / TEST), threshold)
            changed = {"phase": phase, "threshold": threshold, "at_threshold": decisions}
            write_json(folder / RESULT, {**read_json(before / RESULT), **changed})

    def _of_all(self, severity: str, phase: str) -> None:
        """One detector and one threshold for all classes."""
        detector = self._method.fitted(severity, self.bench.classes)
        seen = {name: self._see(detector, severity, phase, name) for name in self.bench.classes}
        threshold = threshold_of(pooled([val.scored for val, _ in seen.values()]))
        for name, (val, test) in seen.items():
            self._write(severity, phase, name, detector, val, test, threshold)

    def _on_clean(self, detector: Detector, name: str) -> dict[str, Any]:
        """What an adapted detector makes of images as they were."""
        val, test = (look(self.bench, detector, CLEAN, name, part) for part in ("val", "test"))
        return {**judged(self.bench, test.scored, threshold_of(val.scored)), "details": dict(test.details)}

    def _see(self, detector: Detector, severity: str, phase: str, name: str) -> tuple[Seen, Seen]:
        """Score validation and test images, and keep the scores."""
        folder = cell(self.out, self.name, severity, phase, name)
        val, test = (look(self.bench, detector, severity, name, part) for part in ("val", "test"))
        val.scored.save(folder / VAL)
        test.scored.save(folder / TEST)
        return val, test

    def _write(
        self, severity: str, phase: str, name: str, detector: Detector, val: Seen, test: Seen, threshold: float,
        after: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        result = {
            "method": self.name, "severity": severity, "phase": phase, "class": name,
            **judged(self.bench, test.scored, threshold),
            "val_has_anomalies": bool(val.scored.labels.any()),
            "clean_after": after,
            "seconds_fit": detector.seconds, "ms_per_image": test.ms_per_image, "bytes": detector.bytes,
            "details": {**detector.details, **test.details},
        }  # fmt: skip
        write_json(cell(self.out, self.name, severity, phase, name) / RESULT, result)

    def _clean_of(self, name: str) -> Detector:
        if name not in self._clean:
            self._clean[name] = self._method.fitted(CLEAN, (name,))
        return self._clean[name]

    def _left(self, severity: str, phase: str) -> Iterator[str]:
        return (name for name in self.bench.classes if not self._done(severity, phase, name))

    def _done(self, severity: str, phase: str, name: str) -> bool:
        return (cell(self.out, self.name, severity, phase, name) / RESULT).exists()


def _linked(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the disk has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())
