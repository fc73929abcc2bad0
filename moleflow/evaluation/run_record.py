"""The block of results.json that says what was run, so that nobody has to guess it from a folder's name."""

import platform
from collections.abc import Sequence
from typing import Any

from moleflow.config.resolve import Resolved
from moleflow.config.task import Task
from moleflow.utils.env import PACKAGES, installed


def run_record(resolved: Resolved, stream: Sequence[Task]) -> dict[str, Any]:
    """What was run: dataset, scenario, order, seed, backbone, named settings, classes in stream order, versions.

    It holds neither a time nor a place: a run that is moved or resumed keeps its bytes. The code's revision is in
    env.json. ``preset`` and ``ablation`` are None where the command line named none.
    """
    run = resolved.run
    return {
        "dataset": run.data.dataset,
        "scenario": run.stream.cl_scenario,
        "order": run.stream.task_order,
        "classes": [name for task in stream for name in task.classes],
        "seed": run.training.seed,
        "backbone": run.features.backbone_name,
        "img_size": run.data.img_size,
        "preset": resolved.named.get("preset"),
        "ablation": resolved.named.get("ablation"),
        "versions": {"python": platform.python_version(), **{name: installed(name) for name in PACKAGES}},
    }
