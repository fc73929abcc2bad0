"""A study's folder with known numbers: what scripts/run_domain_shift.py would leave."""

from pathlib import Path

import numpy as np
from PIL import Image

from moleflow.data.sample import Sample
from moleflow.evaluation.metrics import image_metrics
from moleflow.evaluation.scored import Scored
from moleflow.utils.io import write_json

METHODS, CLASSES, SHIFTS = ("patchcore", "moleflow"), ("bolt", "nut"), ("mild", "severe")
GAP = {"clean": 6.0, "none": 0.5, "threshold": 0.5, "full": 6.0, "global": 3.0}
"""How far scores of defects lie above those of good images."""
SIZE, GOOD, BAD = 16, 12, 12


def write_study(out: Path) -> Path:
    """Two methods, two classes, two severities, all phases, every side study."""
    images = _images(out / "images")
    content = {"classes": CLASSES, "methods": METHODS, "severities": ("clean", *SHIFTS), "phases": list(GAP),
               "seed": 42,
               "image_size": SIZE, "versions": {}, "command": "python scripts/run_domain_shift.py …"}  # fmt: skip
    write_json(out / "study.json", content)
    for method in METHODS:
        for severity in ("clean", *SHIFTS):
            for phase in ("clean",) if severity == "clean" else tuple(GAP)[1:]:
                for name in CLASSES:
                    _cell(out / method / severity / phase / name, (method, severity, phase, name), images)
    _sides(out / "side")
    return out


def _images(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True)
    Image.fromarray(np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)).save(folder / "image.png")
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[4:8, 4:8] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder / "image.png", folder / "mask.png"


def scored(phase: str, name: str, images: tuple[Path, Path], seed: int = 0) -> Scored:
    """Good images first, then defects of two types; the same noise in every phase."""
    rng = np.random.default_rng(seed)
    defects = ["good"] * GOOD + ["dent"] * (BAD // 2) + ["scratch"] * (BAD - BAD // 2)
    samples = tuple(
        Sample(images[0], name, int(defect != "good"), defect, images[1] if defect != "good" else None)
        for defect in defects
    )
    labels = np.array([sample.label for sample in samples])
    scores = rng.normal(size=len(labels)) + GAP[phase] * labels
    maps = rng.uniform(size=(len(labels), SIZE, SIZE)).astype(np.float32)
    return Scored(samples, scores, maps)


def _cell(folder: Path, place: tuple[str, str, str, str], images: tuple[Path, Path]) -> None:
    method, severity, phase, name = place
    test, val = scored(phase, name, images), scored(phase, name, images, 1)
    test.save(folder / "test.npz")
    val.save(folder / "val.npz")
    threshold = GAP["clean"] / 2
    hits, truth = test.images > threshold, test.labels == 1
    tp, fp, fn, tn = ((hits & truth).sum(), (hits & ~truth).sum(), (~hits & truth).sum(), (~hits & ~truth).sum())
    decisions = {"tp": int(tp), "fp": int(fp), "fn": int(fn), "tn": int(tn), "precision": None,
                 "accuracy": (tp + tn) / len(truth), "recall": tp / truth.sum(),
                 "f1": 2 * tp / (2 * tp + fp + fn)}  # fmt: skip
    pixel = None if name == "nut" else 0.4 + 0.02 * GAP[phase]
    metrics = {**image_metrics(test.labels, test.images), "pixel_auroc": pixel, "pixel_ap": pixel, "pixel_f1max": pixel,
               "aupro": pixel}  # fmt: skip
    write_json(folder / "result.json", {
        "method": method, "severity": severity, "phase": phase, "class": name, "threshold": threshold,
        "val_has_anomalies": name == "bolt", "at_threshold": _plain(decisions), "metrics": _plain(metrics),
        "clean_after": None, "seconds_fit": 1.0, "ms_per_image": 2.0, "bytes": 1000, "details": {},
    })  # fmt: skip


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {key: float(value) if isinstance(value, np.floating) else value for key, value in values.items()}


def _sides(side: Path) -> None:
    rows = {
        "coreset": [{"class": "bolt", "ratio": ratio, "patches": 10, "bytes": int(1e7 * ratio), "seconds_fit": 1.0,
                     "ms_per_image": 100 * ratio, "image_auroc": 0.9 + ratio, "pixel_ap": 0.3}
                    for ratio in (0.01, 0.05, 0.1)],
        "layers": [{"class": "bolt", "layers": name, "dim": 40, "image_auroc": value, "pixel_ap": 0.3}
                   for name, value in (("layer2", 0.90), ("layer3", 0.95))],
        "aggregation": [{"class": "bolt", "aggregation": name, "image_auroc": 0.9} for name in ("max", "top_3")],
        "projection": [{"class": "bolt", "projection": "pca", "dim": 8, "image_auroc": 0.9, "pixel_ap": None}],
        "generalisation": [{"method": "patchcore", "trained_on": first, "tested_on": second, "class": "bolt",
                            "image_auroc": 0.9 if first == second else 0.6, "pixel_ap": 0.1}
                           for first in ("clean", "mild") for second in ("clean", "mild")],
        "regions": [{"method": "patchcore", "severity": "mild", "class": "bolt", "regions": count, "pixel_f1": 0.3,
                     "pixel_precision": 0.3, "pixel_recall": 0.3} for count in (1, 2)],
        "latency": [{"part": "backbone", "ms_per_image": 30.0, "threads": 1}],
    }  # fmt: skip
    for name, found in rows.items():
        write_json(side / name / "result.json", {"rows": found})
    matrix = {"severity": "mild", "classes": CLASSES, "matrix": [[0.9, 0.1], [0.2, 0.8]]}
    write_json(side / "confusion" / "result.json", {"rows": [matrix]})
    rng = np.random.default_rng(0)
    names = np.repeat(CLASSES, 40)
    severities = np.tile(np.repeat(["clean", "mild"], 20), 2)
    features = rng.normal(0, 0.01, (80, 5)) + 10.0 * (names == "nut")[:, None] + 5.0 * (severities == "mild")[:, None]
    (side / "embeddings").mkdir()
    np.savez(side / "embeddings" / "embeddings.npz", features=features.astype(np.float16), class_name=names,
             severity=severities, defect=np.arange(80) % 10 == 0)  # fmt: skip
    (side / "attention").mkdir()
    np.savez(side / "attention" / "bolt.npz", paths=np.array(["gone.png"]), defects=np.array(["good"]),
             maps=np.zeros((1, 2, 8, 8), dtype=np.float16), layers=np.array(["layer1", "layer2"]))  # fmt: skip
