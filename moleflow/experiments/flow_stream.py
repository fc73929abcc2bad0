"""MoLE-Flow, and flows that learn a stream otherwise: a run of run_moleflow.py in an experiment's folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moleflow.config.resolve import Resolved
from moleflow.data.images import load_input
from moleflow.experiments.conditions import Experiment
from moleflow.experiments.kinds import FLOWS
from moleflow.experiments.peer_stream import TIMED, milliseconds
from moleflow.run import Runner, open_data
from moleflow.utils.io import read_json, write_json


def run_flow(experiment: Experiment, folder: Path, cache: Path) -> dict[str, Any]:
    """Do what is not done yet.

    Args:
        experiment: what to do.
        folder: of the run.
        cache: folder of features.

    Returns:
        The content of results.json.
    """
    with Runner(_placed(experiment, folder, cache)) as runner:
        results = runner.run()
        file = folder / "cost.json"
        cost = dict(read_json(file))
        if "ms_per_image" not in cost and runner.model.tasks:
            write_json(file, {**cost, "ms_per_image": _latency(runner)})
    return results


def _placed(experiment: Experiment, folder: Path, cache: Path) -> Resolved:
    """The configuration with this folder, this cache, one CPU, no page; all classes in one task where that is asked."""
    run = experiment.resolved.run
    stream = run.stream
    if FLOWS[experiment.model].together:
        stream = replace(stream, cl_scenario="{0}-{0}".format(len(stream.task_classes or open_data(run).classes)))
    output = replace(
        run.output, log_dir=str(folder.parent), experiment_name=folder.name, resume=True, overwrite=False,
        tensorboard=False, figures=False, keep_scores=False, run_diagnostics=False, stop_after=None,
    )  # fmt: skip
    placed = replace(
        run, stream=stream, output=output, hardware=replace(run.hardware, device="cpu"),
        features=replace(run.features, feature_cache=str(cache)),
    )  # fmt: skip
    return replace(experiment.resolved, run=placed)


def _latency(runner: Runner) -> float:
    """Milliseconds of CPU time to score one decoded image, backbone and router included."""
    data, task = runner.config.data, runner.stream[-1]
    samples = runner.data.test(task.classes[0], task).samples[:TIMED]
    images = [load_input(sample.path, data.img_size, data.resize) for sample in samples]
    pixels = [torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255 for image in images]

    def look(image: Tensor) -> None:
        runner.model.predict(image)

    return milliseconds(look, pixels)
