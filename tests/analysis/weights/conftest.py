"""Finished runs whose LoRA products are known, written without training."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from moleflow.config.cli import parse
from moleflow.config.task import Task
from moleflow.models.routing.statistics import RouterStatistics
from moleflow.utils.io import write_json, write_tensors

LAYERS = ("flow.blocks.0.subnet.enter", "flow.blocks.1.subnet.enter")
SHAPE = (12, 8)
DIM = 3

Factors = tuple[np.ndarray, np.ndarray]
"""B (out, r) and A (r, in)."""


def statistics(place: float) -> dict[str, torch.Tensor]:
    """Router statistics of a product at ``place`` on every axis, with unit covariance."""
    kept = RouterStatistics(Task(("x",), 0), DIM)
    kept.count.fill_(400)
    kept.mean.fill_(place)
    upper = torch.triu_indices(DIM, DIM)
    kept.scatter[0] = 400 * torch.eye(DIM, dtype=torch.float64)[upper[0], upper[1]]
    return {f"router.statistics.{name}": value for name, value in kept.state_dict().items()}


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Write a run: (task -> a factor pair a layer, flags) -> its folder; task k's prototype lies at k on every axis."""

    def write(experts: Mapping[str, list[Factors]], *words: str, name: str = "run") -> Path:
        folder = tmp_path / name
        words = words or ("--lora_rank", "4", "--lora_alpha", "8")
        write_json(folder / "config.json", parse(["--dataset", "folder", *words])[0].to_json())
        weight = torch.arange(96.0).reshape(SHAPE) / 96
        write_tensors(folder / "base.safetensors", {f"{layer}.base.weight": weight for layer in LAYERS})
        entries = []
        for place, (task, factors) in enumerate(experts.items()):
            state = statistics(float(place))
            for layer, (up, down) in zip(LAYERS, factors, strict=False):
                state |= {f"{layer}.deltas.B": torch.tensor(up).half(), f"{layer}.deltas.A": torch.tensor(down).half()}
            write_tensors(folder / "experts" / f"{task}.safetensors", state)
            entries.append({"name": task, "classes": [task], "file": f"experts/{task}.safetensors"})
        write_json(folder / "stream.json", {"schema": 1, "tasks": entries})
        return folder

    (tmp_path / "run").mkdir()
    return write


@pytest.fixture
def factors() -> Callable[..., list[Factors]]:
    """Random factors of rank 4 for both layers, or the given directions of B."""

    def draw(seed: int, up: np.ndarray | None = None) -> list[Factors]:
        own = np.random.default_rng(seed)
        ups = [own.standard_normal((SHAPE[0], 4)) if up is None else up for _ in LAYERS]
        return [(each, own.standard_normal((each.shape[1], SHAPE[1]))) for each in ups]

    return draw
