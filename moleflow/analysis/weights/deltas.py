"""What experts add to the flow's linear layers, and where their products lie: read from a run's files, no model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moleflow.analysis.weights.spectra import Array
from moleflow.config.stored import stored_config
from moleflow.config.task import Task
from moleflow.config.variants import Lora
from moleflow.models.build.flow import delta_scale
from moleflow.models.routing.mahalanobis import whitener
from moleflow.models.routing.statistics import RouterStatistics, ledoit_wolf, pool
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json, read_tensors

FACTOR = ".deltas.A"
STATISTICS = "router.statistics."


@dataclass(frozen=True)
class LayerDelta:
    """scale·B·A of one layer.

    Attributes:
        change: (out, in).
        weight: the shared weight it is added to, (out, in).
        rank: columns of B.
    """

    change: Array
    weight: Array
    rank: int


@dataclass(frozen=True)
class RunDeltas:
    """A run's LoRA products and prototypes.

    Attributes:
        run: name of its folder.
        deltas: task -> layer -> delta, in stream order; tasks without deltas are left out.
        distances: Mahalanobis distance between the prototypes of two tasks (the nearest classes), (tasks, tasks), under
            the pooled within-class covariance; for every task of the run.
        tasks: all tasks, in stream order: the order of ``distances``.
    """

    run: str
    deltas: dict[str, dict[str, LayerDelta]]
    distances: Array
    tasks: list[str]

    def distance(self, one: str, other: str) -> float:
        """Between the prototypes of two tasks."""
        return float(self.distances[self.tasks.index(one), self.tasks.index(other)])


def read_deltas(folder: Path) -> RunDeltas:
    """Read a finished run.

    Raises:
        UsageError: there is no run, it has no LoRA, or fewer than one finished task.
        MoleflowError: a file is missing or damaged.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"There is no run in {folder} (no config.json); give --run the folder of one.")
    linears = stored_config(read_json(folder / "config.json"), str(folder / "config.json")).ablation.lora
    if not isinstance(linears, Lora):
        raise UsageError(
            f"The run in {folder} has no LoRA (its linears are {type(linears).__name__}); train one with it."
        )
    if not (folder / "stream.json").is_file() or not read_json(folder / "stream.json")["tasks"]:
        raise UsageError(f"The run in {folder} holds no finished task; finish it with run_moleflow.py --resume.")
    scale = delta_scale(linears.rank, linears.alpha, linears.scaling)
    base = read_tensors(folder / "base.safetensors")
    entries = read_json(folder / "stream.json")["tasks"]
    experts = {entry["name"]: read_tensors(folder / entry["file"]) for entry in entries}
    tasks = [Task(tuple(entry["classes"]), place) for place, entry in enumerate(entries)]
    deltas = {name: _layers(state, base, scale, name) for name, state in experts.items()}
    distances = prototype_distances([_statistics(task, experts[task.name]) for task in tasks])
    return RunDeltas(folder.name, {name: found for name, found in deltas.items() if found}, distances, list(experts))


def _layers(state: dict[str, Tensor], base: dict[str, Tensor], scale: float, task: str) -> dict[str, LayerDelta]:
    found = {}
    for name in (name for name in state if name.endswith(FACTOR)):
        layer = name.removesuffix(FACTOR)
        try:
            down, up = state[name].double(), state[f"{layer}.deltas.B"].double()
            weight = base[f"{layer}.base.weight"].double().numpy()
        except KeyError as error:
            raise MoleflowError(
                f"The expert of {task!r} and the base do not belong together: {error} is missing."
            ) from error
        change = (scale * up @ down).numpy()
        if np.any(change):
            found[layer] = LayerDelta(change, weight, len(down))
    return found


def _statistics(task: Task, state: dict[str, Tensor]) -> RouterStatistics:
    own = {name.removeprefix(STATISTICS): tensor for name, tensor in state.items() if name.startswith(STATISTICS)}
    statistics = RouterStatistics(task, own["mean"].shape[1] if "mean" in own else 0)
    try:
        statistics.load_state_dict(own)
    except RuntimeError as error:
        raise MoleflowError(f"The expert of {task.name!r} has no router statistics this version reads.") from error
    return statistics


def prototype_distances(statistics: list[RouterStatistics]) -> Array:
    """Mahalanobis distance between tasks' prototypes, of the nearest classes: (tasks, tasks)."""
    white = whitener(ledoit_wolf(pool(statistics)))
    means = [part.mean @ white.T for part in statistics]
    rows = [[torch.cdist(one, other).min() for other in means] for one in means]
    return torch.tensor(rows, dtype=torch.float64).numpy()
