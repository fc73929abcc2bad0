"""What rows measure with: images, features, models; each made once, when a row first asks for it."""

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from moleflow.config.cli import parse
from moleflow.config.resolve import Resolved
from moleflow.config.task import Task
from moleflow.data.datasets import open_dataset
from moleflow.data.demo import write_demo
from moleflow.data.images import load_image
from moleflow.data.sample import Sample
from moleflow.extractors.batch import Batch
from moleflow.models.build import build_extractor, build_model
from moleflow.models.mole_nf import MoLEFlow

SIZE = 256
CLASS = "washer"


class Setting:
    """One call of the benchmark.

    Args:
        folder: where images, features and runs may be written.
        quick: fewer rounds and smaller shapes: a look, not a result.
        device: where it is measured.
        data_path: a folder of classes in MVTec AD's layout, for rows that measure accuracy; else images are generated.
        weights: file of resnet50_v1's weights; without it they are random, which costs the same time.
    """

    def __init__(self, folder: Path, quick: bool, device: torch.device, data_path: Path | None, weights: Path | None):
        self.folder, self.quick, self.device, self.data_path, self.weights = folder, quick, device, data_path, weights
        self.rounds = 2 if quick else 7
        self.model = cache(self._model)
        self.samples = cache(self._samples)

    def resolved(self, *words: str) -> Resolved:
        """The configuration of a command line."""
        return parse([*words, "--device", str(self.device), "--log_dir", str(self.folder)])[0]

    def backbone(self, name: str) -> list[str]:
        """The words that ask for a backbone."""
        if name != "resnet50_v1":
            return ["--backbone_name", name]
        return [
            "--backbone_name",
            name,
            *(["--backbone_weights", str(self.weights)] if self.weights else ["--random_backbone"]),
        ]

    def bare(self, resolved: Resolved) -> MoLEFlow:
        """A model without tasks."""
        extractor = build_extractor(resolved.ablation, resolved.run).to(self.device)
        return build_model(resolved.ablation, extractor, seed=0).to(self.device)

    @property
    def brief(self) -> list[str]:
        """What a quick look trains with: few steps and small memories, so its seconds of training are no result."""
        return ["--num_steps", "10", "--patch_memory_size", "500"] if self.quick else []

    def real(self, backbone: str) -> Resolved:
        """The preset for real products with this backbone."""
        preset = "realstream_resnet50" if backbone == "resnet50_v1" else "realstream"
        return self.resolved("--preset", preset, *self.backbone(backbone))

    def _model(self, backbone: str, tasks: int = 1) -> MoLEFlow:
        """A model of that preset with finished tasks, whose experts were not trained: speed is the same."""
        model = self.bare(self.real(backbone))
        features = extracted(model, self.images[: 4 if self.quick else 8])
        for index in range(tasks):
            add_task(model, Task((f"product{index:03}",), index), features + index)
        return model

    @cached_property
    def big_class(self) -> tuple[Path, str]:
        """Folder and name of a class for rows that measure accuracy: the one nearest to 200 normal images."""
        if self.data_path is None:
            train, test = (16, 4) if self.quick else (200, 40)
            root = self.folder / f"washers{train}"
            return write_demo(root, classes=[CLASS], train=train, test_good=test, per_defect=test // 4), CLASS
        counts = {folder.name: len(list(folder.glob("train/good/*"))) for folder in sorted(self.data_path.iterdir())}
        return self.data_path, min(counts, key=lambda name: abs(counts[name] - 200))

    @cached_property
    def images(self) -> Tensor:
        """Some images (n, 3, 256, 256) in 0..1."""
        files = [load_image(sample.path, SIZE, "squash") for sample in self.samples(16)]
        return torch.from_numpy(np.stack(files)).to(self.device).permute(0, 3, 1, 2).float() / 255

    def _samples(self, count: int) -> Sequence[Sample]:
        """Normal images in files."""
        root = write_demo(self.folder / f"washer{count}", classes=[CLASS], train=count, test_good=1, per_defect=1)
        return tuple(open_dataset("demo", root).train(CLASS))


@torch.no_grad()
def extracted(model: MoLEFlow, images: Tensor) -> Tensor:
    """Features of images, four at a time."""
    return torch.cat([model.features(part) for part in images.split(4)])


def add_task(model: MoLEFlow, task: Task, features: Tensor) -> None:
    """Give the model a finished expert of these features (n, H, W, D), without a step of training."""
    batches = lambda: [Batch(features, torch.zeros(len(features), dtype=torch.long, device=features.device))]
    model.begin_task(task, seed=0)
    model.prepare_task(task, batches)
    model.finish_task(task, batches, torch.float16)
    model.calibrate(task, batches, 0.05)
