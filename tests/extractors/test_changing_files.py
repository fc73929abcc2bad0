"""A folder that changes while it is read: what vanishes or grows is named, and what was prepared stays what it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import PixelExtractor
from PIL import Image

from moleflow.data.images import BadImage, load_image
from moleflow.data.sample import Sample
from moleflow.extractors import cache
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.task_features import TaskFeatures


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        write(path, number)
    return [Sample(path, "thing", 0, "good", None) for path in paths]


def write(path: Path, value: int) -> None:
    pixels = np.random.default_rng(value).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def store_in(folder: Path) -> FeatureStore:
    return FeatureStore(PixelExtractor(), "squash", folder / "cache")


def test_a_file_that_vanishes_between_listing_and_reading_is_named(tmp_path: Path, samples: list[Sample]) -> None:
    samples[1].path.unlink()
    good, (bad,) = store_in(tmp_path).prepare(samples, "skip")
    assert good == [samples[0], samples[2]]
    assert (bad.path, bad.reason) == (samples[1].path, "it does not exist (any more)")
    with pytest.raises(BadImage, match="--on_bad_image skip"):
        store_in(tmp_path).prepare(samples, "error")


@pytest.mark.parametrize("harm", [lambda path: write(path, 99), lambda path: path.unlink()])
def test_a_file_that_changes_while_it_is_read_is_named_and_nothing_is_kept(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, harm
) -> None:
    def slowly(path: Path, *options: object) -> np.ndarray:
        found = load_image(path, *options)
        if path == samples[1].path:
            harm(path)
        return found

    monkeypatch.setattr(cache, "load_input", slowly)
    good, (bad,) = store_in(tmp_path).prepare(samples, "skip")
    assert good == [samples[0], samples[2]]
    assert (bad.path, bad.reason) == (samples[1].path, "it was changed while it was read")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2


def test_what_was_prepared_stays_what_it_was(tmp_path: Path, samples: list[Sample]) -> None:
    store = store_in(tmp_path)
    store.prepare(samples)
    before = store.features(samples)
    samples[0].path.unlink()
    write(samples[1].path, 99)
    assert torch.equal(store.features(samples), before)
    good, (bad,) = store.prepare(samples, "skip")
    assert (good, bad.path) == (samples[1:], samples[0].path)
    assert not torch.equal(store.features(samples[1:2]), before[1:2])


def test_without_a_cache_what_vanishes_is_left_out_and_the_next_one_stands_in(
    tmp_path: Path, samples: list[Sample]
) -> None:
    store, told = FeatureStore(PixelExtractor(), "squash", None), []
    features = TaskFeatures(
        store, samples, ["thing"], torch.device("cpu"), 2, lambda bad, left: told.append((bad, left))
    )
    whole = features.take([0, 1, 2])
    samples[1].path.unlink()
    assert torch.equal(features.take([1, 0]), whole[[2, 0]])
    assert torch.equal(torch.cat([batch.features for batch in features.batches()]), whole[[0, 2]])
    samples[2].path.unlink()
    assert [len(batch.classes) for batch in features.batches()] == [1]
    assert torch.equal(features.take([2]), whole[[0]])
    assert [(bad.path, left) for bad, left in told] == [(samples[1].path, 2), (samples[2].path, 1)]
    assert features.samples == samples[:1]
    assert features.identity() == TaskFeatures(store, samples[:1], ["thing"], torch.device("cpu")).identity()


def test_what_vanishes_stops_whoever_may_not_leave_it_out(samples: list[Sample]) -> None:
    features = TaskFeatures(FeatureStore(PixelExtractor(), "squash", None), samples, ["thing"], torch.device("cpu"))
    samples[0].path.unlink()
    with pytest.raises(BadImage, match="does not exist"):
        features.take([0])
    with pytest.raises(BadImage, match="does not exist"):
        list(features.batches())
