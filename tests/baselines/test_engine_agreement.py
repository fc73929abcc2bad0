"""Wrapped PatchCore and PaDiM against anomalib's own engine: one real class, the same backbone, weights and embedding.

The engine loads, resizes, normalizes, trains, scores and measures by itself. The peer is given the same patch embedding
of images that this project loads; its scores are measured by this project. In experiments peers are given the shared
extractor's features instead, which differ from anomalib's (borders of the 3×3 mean; PaDiM's has none), so that numbers
differ by more there: on this class by 2 points of image AUROC.
"""

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from moleflow.baselines import get_model
from moleflow.baselines.anomalib_parts import anomalib_part
from moleflow.baselines.base import Peer
from moleflow.data.datasets import open_dataset
from moleflow.data.images import load_image, pixel_truth
from moleflow.data.sample import Sample
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.extractors.backbones import find_backbone
from moleflow.extractors.weights import load_exactly, resolve_weights

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason="needs requirements-baselines.txt"),
    pytest.mark.slow,  # a minute
]
BACKBONE, LAYERS, SIZE, CLASS = "resnet50_v1", ["layer2", "layer3"], 256, "cookie"
POINTS = 0.3
Embed = Callable[[Tensor], Tensor]
"""Normalized images (B, 3, s, s) -> patch embedding (B, D, H, W)."""


def products(realstream: Path, root: Path, images: int) -> Path:
    """The class with some training images, without the defects that ship no masks: anomalib's layout needs them."""
    shutil.copytree(realstream / CLASS, root / CLASS, ignore=shutil.ignore_patterns("*_nomask"))
    for file in sorted((root / CLASS / "train" / "good").iterdir())[images:]:
        file.unlink()
    return root


def engine(model: str, root: Path, weights: Path, **options: Any) -> tuple[Any, tuple[float, float]]:
    """The fitted lightning module, and image and pixel AUROC by anomalib's engine, data module and metrics."""
    known = find_backbone(BACKBONE)
    how = {"backbone": "resnet50", "layers": LAYERS, "pre_trained": False, **options}
    lightning = anomalib_part("models", model)(pre_processor=_pre_processor(known.normalization), **how)
    network = lightning.model.feature_extractor.feature_extractor
    known.adapt(network)
    load_exactly(network, resolve_weights(BACKBONE, weights, False, 0))
    batches = {"train_batch_size": 8, "eval_batch_size": 8, "num_workers": 0}
    data = anomalib_part("data", "MVTecAD")(root=root, category=CLASS, **batches)
    quiet = {"default_root_dir": root / "engine", "logger": False, "enable_progress_bar": False}
    runner = anomalib_part("engine", "Engine")(accelerator="cpu", devices=1, **quiet)
    runner.fit(lightning, datamodule=data)
    found = runner.test(lightning, datamodule=data, verbose=False)[0]
    return lightning.model, (float(found["image_AUROC"]), float(found["pixel_AUROC"]))


def _pre_processor(normalization: Any) -> Any:
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    steps = [Resize((SIZE, SIZE), antialias=True), Normalize(normalization.mean, normalization.std)]
    return anomalib_part("pre_processing", "PreProcessor")(transform=Compose(steps))


def ours(peer: Peer, embed: Embed, root: Path) -> tuple[float | None, float | None]:
    """Image and pixel AUROC of the wrapped model on the same embedding."""
    data = open_dataset("folder", root)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in find_backbone(BACKBONE).normalization)

    @torch.no_grad()
    def features(samples: list[Sample]) -> Tensor:
        images = np.stack([load_image(sample.path, SIZE, "squash") for sample in samples])
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std
        return torch.cat([embed(part) for part in pixels.split(8)]).permute(0, 2, 3, 1).contiguous()

    test = data.test(CLASS)
    peer.fit([features(data.train(CLASS))])
    scores = peer.score(features(test))
    truths = np.stack([pixel_truth(sample, SIZE, "squash") for sample in test])  # type: ignore[arg-type]
    image = image_metrics(np.array([sample.label for sample in test]), scores.images)["image_auroc"]
    return image, pixel_metrics(truths, scores.maps)["pixel_auroc"]


def test_patchcore_agrees_with_its_engine(realstream: Path, shared_weights: Path, tmp_path: Path):
    """All patches of three images are kept: which ones a coreset keeps is chance."""
    root = products(realstream, tmp_path, 3)
    model, expected = engine("Patchcore", root, shared_weights, coreset_sampling_ratio=1.0)

    def embed(images: Tensor) -> Tensor:
        stages = {layer: model.feature_pooler(stage) for layer, stage in model.feature_extractor(images).items()}
        return model.generate_embedding(stages)

    agree(ours(get_model("patchcore", img_size=SIZE, coreset_ratio=1.0), embed, root), expected)


def test_padim_agrees_with_its_engine(realstream: Path, shared_weights: Path, tmp_path: Path):
    """The engine has drawn 100 channels; the peer is given these."""
    root = products(realstream, tmp_path, 100)
    model, expected = engine("Padim", root, shared_weights, n_features=100)

    def embed(images: Tensor) -> Tensor:
        return model.generate_embedding(model.feature_extractor(images))

    agree(ours(get_model("padim", img_size=SIZE, n_features=100), embed, root), expected)


def agree(found: tuple[float | None, float | None], expected: tuple[float, float]) -> None:
    """Both numbers to so many points."""
    print(f"\nours {found}, anomalib's engine {expected}")
    assert None not in found
    assert 100 * np.abs(np.subtract(found, expected)).max() <= POINTS  # type: ignore[arg-type]
