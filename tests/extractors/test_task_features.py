"""What tells a task's features from others, and where a stream of fresh views goes on."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from moleflow.data.images import BadImage
from moleflow.data.rotation import Rotation
from moleflow.data.sample import GOOD, Sample
from moleflow.extractors.task_features import FreshViews, TaskFeatures


class Store:
    """Stands in for a store: a picture's feature is its angle."""

    extractor, resize = SimpleNamespace(fingerprint="backbone"), "squash"

    def __init__(self):
        self.asked = []

    def expect(self, samples):
        self.asked.append(("expected", len(samples)))

    def features(self, samples):
        self.asked.append(("asked", len(samples)))
        return torch.tensor([sample.rotation for sample in samples])


def samples(folder: Path) -> list[Sample]:
    for name in "ab":
        (folder / f"{name}.png").write_bytes(b"1234")
    return [Sample(folder / f"{name}.png", "bolt", 0, GOOD, None) for name in "ab"]


def test_features_are_told_apart_by_files_angles_and_backbone(tmp_path):
    known = samples(tmp_path)
    identity = lambda chosen, store=None: TaskFeatures(
        store or Store(), chosen, ["bolt"], torch.device("cpu")
    ).identity()
    before = identity(known)
    assert identity(samples(tmp_path)) == before
    other = Store()
    other.extractor = SimpleNamespace(fingerprint="another")
    differing = [identity(known[:1]), identity([known[0], replace(known[1], rotation=3.0)]), identity(known, other)]
    (tmp_path / "b.png").write_bytes(b"12345")
    differing.append(identity(known))
    assert len({before, *differing}) == 5


def test_the_disk_is_told_of_the_next_batch_before_this_one_is_read(tmp_path):
    store = Store()
    batches = TaskFeatures(store, samples(tmp_path) * 2 + samples(tmp_path)[:1], ["bolt"], torch.device("cpu"), 2)
    assert [len(batch.features) for batch in batches.batches()] == [2, 2, 1]
    assert store.asked == [("expected", 2), ("asked", 2), ("expected", 1), ("asked", 2), ("expected", 0), ("asked", 1)]


def test_an_image_that_is_gone_is_replaced_by_the_next_that_is_there(tmp_path):
    features = TaskFeatures(Store(), samples(tmp_path), ["bolt"], torch.device("cpu"), lost=lambda bad, left: None)
    gone, left = features.samples
    features.store.features = lambda asked: raised(gone) if gone in asked else torch.zeros(len(asked))
    assert len(features.take([0, 1, 0])) == 3
    assert features.samples == [left]
    assert [len(batch.features) for batch in features.batches()] == [1]


def raised(sample: Sample) -> torch.Tensor:
    raise BadImage(sample.path, "it is gone")


def test_fresh_views_go_on_where_they_were(tmp_path):
    fresh = lambda: FreshViews(Store(), samples(tmp_path), ["bolt"], torch.device("cpu"), Rotation(180, 0, seed=0))
    whole, stopped, resumed = fresh(), fresh(), fresh()
    expected = [whole.take([0, 1]).tolist() for _ in range(3)]
    stopped.take([0, 1])
    resumed.go_on(json.loads(json.dumps(stopped.position())))
    assert [resumed.take([0, 1]).tolist() for _ in range(2)] == expected[1:]
