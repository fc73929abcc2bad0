"""A stream's images are looked for once, held out by class, and never lost silently."""

import torch
from fakes import SIZE, PixelExtractor

from moleflow.config.run import DataConfig
from moleflow.config.task import Task
from moleflow.data.datasets import open_dataset
from moleflow.data.demo import write_demo
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.stream_data import StreamData

TASK = Task(("washer",), 0)


def stream(folder, on_bad_image="error"):
    write_demo(folder / "demo", classes=["washer"], train=12, test_good=3, per_defect=1, size=64)
    store = FeatureStore(PixelExtractor(), "squash", folder / "cache")
    config = DataConfig(dataset="folder", img_size=SIZE, val_fraction=0.25, on_bad_image=on_bad_image)
    return StreamData(open_dataset("folder", folder / "demo"), store, config, seed=0, device=torch.device("cpu"))


def test_training_and_held_out_images_share_none_and_lose_none(tmp_path):
    normal, held_out = stream(tmp_path).training(TASK)
    paths = [sample.path for sample in [*normal.samples, *held_out.samples]]
    assert (len(normal), len(held_out)) == (9, 3)
    assert len(set(paths)) == 12
    assert all("train" in path.parts for path in paths)


def test_test_images_are_looked_for_and_checked_once(tmp_path, monkeypatch):
    data = stream(tmp_path)
    first = data.test("washer", TASK)
    monkeypatch.setattr(data.dataset, "test", lambda name: 1 / 0)
    assert data.test("washer", TASK) is first
    assert {sample.label for sample in first.samples} == {0, 1}


def test_a_skipped_image_is_remembered(tmp_path):
    data = stream(tmp_path, on_bad_image="skip")
    bad = data.dataset.test("washer")[0].path
    bad.write_bytes(b"")
    assert bad not in [sample.path for sample in data.test("washer", TASK).samples]
    assert list(data.skipped) == [str(bad)]
