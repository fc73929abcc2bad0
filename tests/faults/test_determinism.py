"""Same seed, same threads: same bytes, however the images came and in whatever order later tasks were learned."""

from pathlib import Path

import pytest
import torch
from registry.miniature import CLASSES, digests, original, promised, trained
from torch import Tensor

from moleflow.config.cli import parse
from moleflow.models.mole_nf import MoLEFlow
from moleflow.registry.stored_run import StoredRun
from moleflow.run import Runner

CLOSE = 1e-5
"""What the shape of a batch may move a score by, relative to the largest score."""


@pytest.mark.parametrize("words", [("--num_workers", "2", "--no_feature_cache"), ("--num_workers", "0")])
def test_workers_and_cache_change_no_byte(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert trained(tmp_path, "--task_classes", *CLASSES, *words) == 0
    assert promised(tmp_path / "run") == promised(original(*CLASSES))


def test_the_order_of_later_tasks_changes_no_byte_of_an_expert(tmp_path: Path) -> None:
    first, *later = CLASSES
    assert trained(tmp_path, "--task_classes", first, *reversed(later)) == 0
    kinds = ("base.safetensors", "experts/*", "probes/*")
    found = digests(tmp_path / "run", *kinds)
    assert len(found) == 7
    assert found == digests(original(*CLASSES), *kinds)


def test_another_seed_changes_every_expert(tmp_path: Path) -> None:
    assert trained(tmp_path, "--task_classes", *CLASSES[:2], "--seed", "1") == 0
    other, own = (digests(run, "experts/*") for run in (tmp_path / "run", original(*CLASSES[:2])))
    assert other.keys() == own.keys()
    assert all(other[name] != own[name] for name in own)


@pytest.fixture(scope="module")
def model() -> MoLEFlow:
    """The model of a finished run."""
    run = StoredRun(original(*CLASSES))
    model = run.model()
    for name in CLASSES:
        run.load(model, name)
    return model


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11])
@torch.no_grad()
def test_the_shape_of_a_batch_moves_scores_by_rounding_only(model: MoLEFlow, size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(11, *model.extractor.grid, model.extractor.dim, generator=generator).abs()
    tasks = [CLASSES[row % 3] for row in range(11)]
    for task in CLASSES:
        whole = model.score_as(features, task)
        parts = [model.score_as(part, task) for part in features.split(size)]
        for kind in ("patches", "images"):
            expected = getattr(whole, kind)
            found = torch.cat([getattr(part, kind) for part in parts])
            assert ((found - expected).abs().max() / expected.abs().max()).item() <= CLOSE
    mixed = model.score(features, tasks).images
    alone = torch.stack([model.score(features[row : row + 1], [tasks[row]]).images[0] for row in range(11)])
    assert ((mixed - alone).abs().max() / mixed.abs().max()).item() <= CLOSE


@pytest.fixture(scope="module")
def real(realstream: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[MoLEFlow, Tensor]:
    """The preset's model at full size, trained for a few steps on real images, and features of 40 test images."""
    words = ("--preset", "realstream", "--data_path", str(realstream), "--task_classes", "magnetic_tile")
    log_dir = tmp_path_factory.mktemp("real")
    line = [*words, "--num_steps", "10", "--log_dir", str(log_dir), "--experiment_name", "run"]
    with Runner(parse(line)[0]) as runner:
        runner.run()
        (task,) = runner.stream
        features = torch.cat([batch.features for batch in runner.data.test("magnetic_tile", task).batches()])
        return runner.model, features[:: len(features) // 40][:40]


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 8, 40])
@torch.no_grad()
def test_on_real_images_the_shape_of_a_batch_moves_scores_by_rounding_only(
    real: tuple[MoLEFlow, Tensor], size: int
) -> None:
    model, features = real
    whole = model.score_as(features, "magnetic_tile")
    parts = [model.score_as(part, "magnetic_tile") for part in features.split(size)]
    for kind in ("patches", "images"):
        expected = getattr(whole, kind)
        found = torch.cat([getattr(part, kind) for part in parts])
        moved = ((found - expected).abs().max() / expected.abs().max()).item()
        print(f"batches of {size}, {kind}: {moved:.2g} of the largest")
        assert moved <= CLOSE
