"""A stand-in backbone and a tiny stream, for tests that need the whole model and no image."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from moleflow.config.ablation import AblationConfig
from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.config.variants import Dia, Flow, Lora, PlainSubnet
from moleflow.extractors.base import Extractor, Normalization
from moleflow.extractors.batch import Batch
from moleflow.losses.build import build_loss
from moleflow.models.build import build_model
from moleflow.models.mole_nf import MoLEFlow
from moleflow.trainer.continual_trainer import ContinualTrainer

SIZE, GRID, DIM = 16, 4, 6
TINY = AblationConfig(flow=Flow(layers=2), subnet=PlainSubnet(1.0), lora=Lora(rank=4, alpha=4.0), dia=Dia(blocks=2))
TRAINING = TrainingConfig(num_steps=8, batch_size=4, lr=5e-3)


class PixelExtractor(Extractor):
    """Two mean-pooled copies of the image's channels, one of them squared: (B, 3, 16, 16) -> (B, 4, 4, 6)."""

    def __init__(self) -> None:
        super().__init__(SIZE, GRID, DIM, Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), {"kind": "pixels"})
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls = 0
        self.freeze()

    def _features(self, images: Tensor) -> Tensor:
        self.calls += len(images)
        both = self.weight * torch.cat([images, images.square()], dim=1)
        return torch.nn.functional.adaptive_avg_pool2d(both, GRID).permute(0, 2, 3, 1)


class FakeFeatures:
    """Features of a product that exists in name only: a random texture that belongs to the name.

    Args:
        names: the task's classes.
        images: how many of each.
    """

    def __init__(self, names: Sequence[str], images: int = 12) -> None:
        self.features = torch.cat([product_features(name, images) for name in sorted(names)])
        self.classes = torch.arange(len(names)).repeat_interleave(images)

    def __len__(self) -> int:
        return len(self.features)

    def take(self, indices: Sequence[int]) -> Tensor:
        """Features of some images."""
        return self.features[list(indices)]

    def batches(self) -> list[Batch]:
        """All features in one batch."""
        return [Batch(self.features, self.classes)]

    def identity(self) -> str:
        """Hash of the features."""
        return hashlib.sha256(self.features.numpy().tobytes()).hexdigest()

    def position(self) -> dict[str, object]:
        """Nothing is used up."""
        return {}

    def go_on(self, position: dict[str, object]) -> None:
        """Nothing to do."""


def product_features(name: str, images: int, seed: int = 0) -> Tensor:
    """(images, 4, 4, 6) features whose mean and mixing belong to the name."""
    own = torch.Generator().manual_seed(sum(name.encode()))
    mean, mixing = 2 * torch.randn(GRID, GRID, DIM, generator=own), torch.randn(DIM, DIM, generator=own)
    noise = torch.randn(images, GRID, GRID, DIM, generator=torch.Generator().manual_seed(seed))
    return mean + 0.5 * noise @ mixing


def tiny_model(config: AblationConfig = TINY, seed: int = 0) -> MoLEFlow:
    """A model without tasks on the stand-in backbone."""
    return build_model(config, PixelExtractor(), seed)


def train_task(model: MoLEFlow, task: Task, config: AblationConfig = TINY, training: TrainingConfig = TRAINING) -> None:
    """Train one task on its fake product."""
    trainer = ContinualTrainer(model, build_loss(config), training, lambda *_: None)
    trainer.train(task, FakeFeatures(task.classes), FakeFeatures(task.classes, images=5))  # type: ignore[arg-type]


def trained(names: Sequence[str], config: AblationConfig = TINY, training: TrainingConfig = TRAINING) -> MoLEFlow:
    """A model trained on tasks one after another; ``a+b`` is one task of two classes."""
    model = tiny_model(config, training.seed)
    for index, name in enumerate(names):
        train_task(model, Task(tuple(name.split("+")), index), config, training)
    return model
