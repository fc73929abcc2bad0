"""Test images of products that exist in name only, for the evaluator and the diagnostics."""

from pathlib import Path

import torch
from fakes import product_features
from torch import Tensor

from moleflow.config.task import Task
from moleflow.data.sample import Sample
from moleflow.extractors.batch import Batch


class Products:
    """Test images of a product: 10 good ones, and 6 with a shift in one patch; no masks."""

    def __init__(self, name: str, strangers: bool = False):
        good, bad = product_features(name, 10, seed=11), product_features(name, 6, seed=12)
        bad[:, 1, 2] += 6 * torch.arange(1, 7)[:, None]
        if strangers:
            bad = bad + 40
        self.features = torch.cat([good, bad])
        kinds = [(0, "good")] * 10 + [(1, "hole")] * 6
        self.samples = [Sample(Path(f"{name}/{i}.png"), name, *kind, None) for i, kind in enumerate(kinds)]

    def take(self, indices: list[int]) -> Tensor:
        """Features of some images."""
        return self.features[indices]

    def batches(self) -> list[Batch]:
        """All features, in batches of five."""
        return [Batch(part, torch.zeros(len(part))) for part in self.features.split(5)]


class Data:
    """The test images of every product."""

    def __init__(self, strangers: bool = False):
        self.strangers = strangers

    def test(self, class_name: str, task: Task) -> Products:
        """The class's test images."""
        return Products(class_name, self.strangers)
