"""Wrapped PatchCore and PaDiM against anomalib's own engine: real classes, the same backbone and weights.

The engine loads, resizes, normalizes, trains and scores by itself. PatchCore is given what experiments give
it, the shared extractor's features (all channels, zeros beyond the frame). PaDiM, which pools nothing, is given the
engine's patch embedding: the shared extractor's 3×3 mean is a difference of its own. This project measures
both scores: the engine's own AUROC is of scores that it clamps to 0..1 around a threshold, which tied enough of a weak
model's to change it by a point.
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
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.pooling import ZEROS
from moleflow.extractors.weights import load_exactly, resolve_weights

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason="needs requirements-baselines.txt"),
    pytest.mark.slow,  # a minute each
]
RESNET, LITE0, SIZE, GRID = "resnet50_v1", "tf_efficientnet_lite0", 256, 32
STAGES = {RESNET: ["layer2", "layer3"], LITE0: ["blocks.2", "blocks.4"]}
"""timm's names of the stages of strides 8 and 16."""
POINTS = 0.3
Features = Callable[[Tensor], Tensor]
"""Images in 0..1 (B, 3, s, s) -> patch features (B, H, W, D)."""


def products(realstream: Path, root: Path, name: str, images: int) -> Path:
    """The class with some training images, without the defects that ship no masks: anomalib's layout needs them."""
    shutil.copytree(realstream / name, root / name, ignore=shutil.ignore_patterns("*_nomask"))
    for file in sorted((root / name / "train" / "good").iterdir())[images:]:
        file.unlink()
    return root


def engine(
    model: str, backbone: str, weights: Path | None, root: Path, **options: Any
) -> tuple[Any, tuple[float, float]]:
    """The fitted lightning module, and image and pixel AUROC of what anomalib's engine predicts."""
    known = find_backbone(backbone)
    how = {"backbone": known.timm_name, "layers": STAGES[backbone], "pre_trained": False, **options}
    parts = {"pre_processor": _pre_processor(known.normalization), "post_processor": False, "evaluator": False}
    lightning = anomalib_part("models", model)(**parts, **how)
    network = lightning.model.feature_extractor.feature_extractor
    known.adapt(network)
    load_exactly(network, resolve_weights(backbone, weights, False, 0))
    batches = {"train_batch_size": 8, "eval_batch_size": 8, "num_workers": 0}
    (category,) = (folder.name for folder in root.iterdir())
    data = anomalib_part("data", "MVTecAD")(root=root, category=category, **batches)
    quiet = {"default_root_dir": root.parent / "engine", "logger": False, "enable_progress_bar": False}
    runner = anomalib_part("engine", "Engine")(accelerator="cpu", devices=1, **quiet)
    runner.fit(lightning, datamodule=data)
    found = runner.predict(lightning, dataloaders=data.test_dataloader())
    parts = ("gt_label", "pred_score", "gt_mask", "anomaly_map")
    labels, scores, truths, maps = (
        torch.cat([getattr(batch, part).cpu() for batch in found]).numpy() for part in parts
    )
    return lightning.model, measured(labels.ravel(), scores.ravel(), truths, maps)


def measured(labels: np.ndarray, scores: np.ndarray, truths: np.ndarray, maps: np.ndarray) -> tuple[float, float]:
    """Image and pixel AUROC."""
    image = image_metrics(labels.astype(int), scores)["image_auroc"]
    pixel = pixel_metrics(truths.reshape(maps.shape).astype(bool), maps)["pixel_auroc"]
    assert image is not None
    assert pixel is not None
    return image, pixel


def _pre_processor(normalization: Any) -> Any:
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    steps = [Resize((SIZE, SIZE), antialias=True), Normalize(normalization.mean, normalization.std)]
    return anomalib_part("pre_processing", "PreProcessor")(transform=Compose(steps))


@torch.no_grad()
def ours(peer: Peer, features: Features, root: Path) -> tuple[float, float]:
    """Image and pixel AUROC of the wrapped model."""
    data = open_dataset("folder", root)
    (name,) = data.classes

    def seen(samples: list[Sample]) -> Tensor:
        images = np.stack([load_image(sample.path, SIZE, "squash") for sample in samples])
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        return torch.cat([features(part) for part in pixels.split(8)])

    test = data.test(name)
    peer.fit([seen(data.train(name))])
    scores = [peer.score(part) for part in seen(test).split(8)]
    truths = np.stack([pixel_truth(sample, SIZE, "squash") for sample in test])  # type: ignore[arg-type]
    images, maps = (np.concatenate([getattr(score, part) for score in scores]) for part in ("images", "maps"))
    return measured(np.array([sample.label for sample in test]), images, truths, maps)


@pytest.mark.parametrize(("name", "backbone", "images"), [("cookie", RESNET, 3), ("screw", LITE0, 5)])
def test_patchcore_agrees_with_its_engine(
    name: str, backbone: str, images: int, realstream: Path, shared_weights: Path, tmp_path: Path
):
    """All patches of few images are kept: which ones a coreset keeps is chance."""
    weights = shared_weights if backbone == RESNET else None
    root = products(realstream, tmp_path / "products", name, images)
    _, expected = engine("Patchcore", backbone, weights, root, coreset_sampling_ratio=1.0)
    found = resolve_weights(backbone, weights, False, 0)
    extractor = CnnExtractor(backbone, ["layer2", "layer3"], 10_000, SIZE, GRID, found, ZEROS)
    agree(ours(get_model("patchcore", img_size=SIZE, coreset_ratio=1.0), extractor, root), expected)


def test_padim_agrees_with_its_engine(realstream: Path, shared_weights: Path, tmp_path: Path):
    """The engine has drawn 100 channels; the peer is given these."""
    root = products(realstream, tmp_path / "products", "cookie", 100)
    model, expected = engine("Padim", RESNET, shared_weights, root, n_features=100)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in find_backbone(RESNET).normalization)

    def features(images: Tensor) -> Tensor:
        embedding: Tensor = model.generate_embedding(model.feature_extractor((images - mean) / std))
        return embedding.permute(0, 2, 3, 1).contiguous()

    agree(ours(get_model("padim", img_size=SIZE, n_features=100), features, root), expected)


def agree(found: tuple[float, float], expected: tuple[float, float]) -> None:
    """Both numbers to so many points."""
    print(f"\nours {found}, anomalib's engine {expected}")
    assert 100 * np.abs(np.subtract(found, expected)).max() <= POINTS
