"""What PatchCore's memory buys: accuracy, bytes and time against the share of patches that is kept."""

import time
from pathlib import Path

from moleflow.study.bench import Bench
from moleflow.study.sides.common import Content, features_of, patchcore, peer_metrics, training

RATIOS = (0.01, 0.05, 0.1)
IMAGES = 16
"""Few: the greedy choice takes kept · candidates distances, and here every patch is a candidate."""


def coreset(bench: Bench, out: Path) -> Content:
    """A row for each class and ratio."""
    rows = []
    for name in bench.classes:
        features = features_of(bench, training(bench, name, images=IMAGES))
        for ratio in RATIOS:
            start = time.perf_counter()
            peer = patchcore(bench, features, ratio, candidates=features[..., 0].numel())
            seconds = time.perf_counter() - start
            rows.append({
                "class": name, "images": len(features), "ratio": ratio, "patches": len(peer.bank), "bytes": peer.bytes,
                "seconds_fit": seconds, **peer_metrics(bench, peer, name),
            })  # fmt: skip
    return {"rows": rows}
