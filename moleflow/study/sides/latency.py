"""How long an image takes: the backbone, and each method given its features."""

import time
from pathlib import Path
from statistics import fmean

import torch

from moleflow.study.bench import Bench
from moleflow.study.layout import RESULT
from moleflow.study.sides.common import Content, cells_done
from moleflow.utils.io import read_json

BATCH, REPEATS = 4, 5


def latency(bench: Bench, out: Path) -> Content:
    """A row for the backbone and one for each method: its mean over test images of ``none``."""
    rows = [{"part": "backbone", "ms_per_image": _backbone(bench), "threads": torch.get_num_threads()}]
    cells = [(method, folder) for method, _, _, folder in cells_done(out, "none") if (folder / RESULT).exists()]
    for method in dict.fromkeys(name for name, _ in cells):
        taken = [read_json(folder / RESULT)["ms_per_image"] for name, folder in cells if name == method]
        rows.append({"part": method, "ms_per_image": fmean(taken), "threads": torch.get_num_threads()})
    return {"rows": rows}


@torch.no_grad()
def _backbone(bench: Bench) -> float:
    """Milliseconds an image, the fastest of some batches; decoding is not counted."""
    images = torch.rand(BATCH, 3, bench.img_size, bench.img_size, device=bench.store.device)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        bench.store.extractor(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken) / BATCH
