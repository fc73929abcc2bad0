"""Products that a flow must learn to tell defects in: a stream on which forgetting shows."""

from collections.abc import Sequence

import numpy as np
import torch
from fakes import DIM, GRID, TINY, TRAINING, FakeFeatures, tiny_model
from torch import Tensor

from moleflow.config.ablation import AblationConfig
from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.config.variants import SlowStage
from moleflow.evaluation.metrics import image_metrics
from moleflow.losses.build import build_loss
from moleflow.models.mole_nf import MoLEFlow
from moleflow.trainer.continual_trainer import ContinualTrainer
from moleflow.trainer.regularizers.base import Protector
from moleflow.trainer.regularizers.build import build_protector

SPREAD = torch.tensor([1.5, 1.2, 1.0, 0.1, 0.1, 0.1])
"""Normal patches of a product fill three directions of its own; a defect leaves them."""


def textures(name: str, images: int, seed: int, defect: float = 0.0) -> Tensor:
    """(images, 4, 4, 6) features of a product; one patch of each image has a defect of the given size."""
    own = torch.Generator().manual_seed(sum(name.encode()) + 100)
    directions = torch.linalg.qr(torch.randn(DIM, DIM, generator=own)).Q
    generator = torch.Generator().manual_seed(seed)
    patches = SPREAD * torch.randn(images, GRID, GRID, DIM, generator=generator)
    patches[:, 1, 2, 3:] += defect * torch.randn(images, 3, generator=generator)
    return patches @ directions.T


class Textures(FakeFeatures):
    """Normal images of a product."""

    def __init__(self, name: str, images: int = 24) -> None:
        super().__init__([name], images)
        self.features = textures(name, images, seed=0)


def learn(
    model: MoLEFlow,
    tasks: Sequence[Task],
    config: AblationConfig = TINY,
    protector: Protector | None = None,
    training: TrainingConfig = TRAINING,
) -> MoLEFlow:
    """Train tasks of one class each, in one go under one protector (default: the configuration's)."""
    slow = config.slow if isinstance(config.slow, SlowStage) else SlowStage()
    guard = protector or build_protector(config, training.seed)
    terms, log = build_loss(config), lambda *_: None
    trainer = ContinualTrainer(model, terms, training, log, False, guard, slow.epochs, slow.lr_ratio)
    for task in tasks:
        trainer.train(task, Textures(task.name), Textures(task.name, images=5))
    return model


def stream(names: str) -> list[Task]:
    """A task of one class for each letter."""
    return [Task((name,), index) for index, name in enumerate(names)]


def auroc(model: MoLEFlow, name: str) -> float:
    """Image AUROC on unseen images of a product, its task given."""
    images = torch.cat([textures(name, 40, seed=3), textures(name, 40, seed=4, defect=1.0)])
    with torch.no_grad():
        scores = model.score(images, [name] * len(images)).images
    found = image_metrics(np.repeat([0, 1], 40), scores.numpy())["image_auroc"]
    assert found is not None
    return found


def task_matrix(config: AblationConfig, names: str, training: TrainingConfig) -> list[list[float | None]]:
    """Image AUROC of every task after every task."""
    model, protector, rows = tiny_model(config), build_protector(config, training.seed), []
    for task in stream(names):
        learn(model, [task], config, protector, training)
        rows.append([auroc(model, name) if name in model.tasks else None for name in names])
    return rows
