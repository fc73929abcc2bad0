"""Where the domain-shift study puts what it finds; figures and tables are made from these files alone.

    OUT/study.json       {"classes", "methods", "severities", "phases", "seed", "image_size", "versions", "command"}
    OUT/METHOD/SEVERITY/PHASE/CLASS/val.npz, test.npz     ``Scored``: the split's images with their scores
    OUT/METHOD/SEVERITY/PHASE/CLASS/result.json           written last: the cell is done once it is there

Phases, in the order of the study (``clean`` has the severity ``clean``, all others each severity):

    clean      fitted and tested on images as they are; threshold from the clean validation images
    none       shifted images, detector and threshold of ``clean``
    threshold  the same scores, threshold from the shifted validation images
    full       fitted on shifted training images, one model a class; threshold from the shifted validation images
    global     fitted on the shifted training images of all classes together; one threshold for all of them

``result.json``; fractions in 0..1, null where a value does not apply:

    {"method", "severity", "phase", "class",
     "threshold": number, "val_has_anomalies": bool (else the threshold is the largest score of a normal image),
     "at_threshold": {"accuracy", "precision", "recall", "f1", "tp", "fp", "tn", "fn"}      on test images
     "metrics": {"image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro"},
     "clean_after": {"threshold", "at_threshold", "metrics"}: the adapted detector on clean test images, threshold from
                    clean validation images as scored by it; in ``full``, else null,
     "seconds_fit": seconds to fit what the cell's detector was fitted to (all classes of ``global`` together),
     "ms_per_image": milliseconds to score a test image, its features given,
     "bytes": what is kept for the class (``global``: for all),
     "details": what only this method can say: MoLE-Flow's {"routing_accuracy", "image_auroc_of_own_expert",
                "old_experts_unchanged"}; its router picks the expert, the others are told the class}

Side studies, each in OUT/side/NAME/; ``result.json`` holds {"methods", "severities", "rows": [...]}, a row a
measurement, with "class" and the image and pixel metrics above:

    coreset          PatchCore: "ratio", "patches", "bytes", "seconds_fit", "ms_per_image"
    layers           PatchCore: "layers" ("layer2+layer3"), "dim": which layers of the backbone matter
    aggregation      PatchCore: "aggregation" ("max", "reweighted", "top_3", "mean")
    projection       PatchCore: "projection" ("none", "pca", "random"), "dim"
    generalisation   "method", "trained_on", "tested_on": severities, ``clean`` among them
    regions          "method", "severity", "regions" (1, 2, 4: a grid of so many by so many), "pixel_f1",
                     "pixel_precision", "pixel_recall" of thresholds that were set a region on validation images
    confusion        "severity", "classes": [...], "matrix": [[share of patches]]: rows the image's class, columns the
                     class whose training patch is nearest in PatchCore's global bank; normal test images; no metrics
    latency          "part" ("backbone", or a method), "ms_per_image", "threads"; no metrics
    embeddings       embeddings.npz: "features" (n, D) float16, "class_name", "severity" (n,) text, "defect" (n,) bool
    attention        CLASS.npz: "paths", "defects" (n,) text, "maps" (n, layers, H, W) float16 in 0..1, "layers" text:
                     norm over channels of the backbone's features
"""

from pathlib import Path

CLEAN = "clean"
"""The severity of images as they are, and the phase that sees them."""

PHASES = (CLEAN, "none", "threshold", "full", "global")
ADAPTED = ("full", "global")
"""Phases whose detector is fitted to shifted images."""

STUDY, RESULT, VAL, TEST = "study.json", "result.json", "val.npz", "test.npz"


def cell(out: Path, method: str, severity: str, phase: str, class_name: str) -> Path:
    """The folder of one method, severity, phase and class."""
    return out / method / severity / phase / class_name


def side(out: Path, name: str) -> Path:
    """The folder of a side study."""
    return out / "side" / name


def phases_of(severity: str) -> tuple[str, ...]:
    """The phases that a severity goes through."""
    return (CLEAN,) if severity == CLEAN else PHASES[1:]
