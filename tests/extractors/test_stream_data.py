"""A stream's images are looked for once, held out by class, and never lost silently."""

import torch
from fakes import DIM, GRID, SIZE, PixelExtractor

from moleflow.config.run import DataConfig
from moleflow.config.task import Task
from moleflow.data.datasets import open_dataset
from moleflow.data.demo import write_demo
from moleflow.data.images import load_image
from moleflow.data.rotation import Rotation
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.stream_data import StreamData

TASK = Task(("washer",), 0)


def stream(folder, on_bad_image="error", rotation=None, keep=True, **given):
    write_demo(folder / "demo", classes=["washer"], train=12, test_good=3, per_defect=1, size=64)
    store = FeatureStore(PixelExtractor(), "squash", folder / "cache" if keep else None)
    config = DataConfig(dataset="folder", img_size=SIZE, val_fraction=0.25, on_bad_image=on_bad_image, **given)
    device = torch.device("cpu")
    return StreamData(open_dataset("folder", folder / "demo"), store, config, 0, device, rotation)


def fixed(folder, views=2, **options):
    return stream(folder, rotation=Rotation(40.0, views, seed=0), **options)


def fresh(folder):
    return fixed(folder, views=0, keep=False)


def test_training_and_held_out_images_share_none_and_lose_none(tmp_path):
    normal, held_out = stream(tmp_path).training(TASK)
    paths = [sample.path for sample in [*normal.samples, *held_out.samples]]
    assert (len(normal), len(held_out)) == (9, 3)
    assert len(set(paths)) == 12
    assert all("train" in path.parts for path in paths)


def test_few_training_images_are_drawn_before_any_is_held_out_and_no_other_is_computed(tmp_path):
    data = stream(tmp_path, max_train_images=5)
    normal, held_out = data.training(TASK)
    assert (len(normal), len(held_out)) == (4, 1)
    assert data.store.backbone_calls == 5
    assert len(data.test("washer", TASK).samples) > 3, "test images are not limited"


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
    assert list(data.skipped.images) == [str(bad)]


def paths(features):
    return [sample.path for sample in features.samples]


def test_only_training_images_are_rotated(tmp_path):
    plain, data = stream(tmp_path), fixed(tmp_path)
    normal, held_out = data.training(TASK)
    (plain_normal, plain_held_out), test = plain.training(TASK), data.test("washer", TASK)
    assert paths(normal) == [path for path in paths(plain_normal) for _ in range(2)]
    assert len({sample.rotation for sample in normal.samples}) == len(normal) == 18
    assert held_out.samples == plain_held_out.samples, "rotation does not change which images are held out"
    assert {sample.rotation for sample in [*held_out.samples, *test.samples]} == {0.0}


def test_a_view_has_the_features_of_the_rotated_image(tmp_path):
    normal, _ = fixed(tmp_path).training(TASK)
    for row in (0, 1, 7):
        view = normal.samples[row]
        image = load_image(view.path, SIZE, "squash", view.rotation).copy()
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        torch.testing.assert_close(normal.take([row]), PixelExtractor()(pixels), rtol=1e-3, atol=1e-3)
    assert not torch.equal(normal.take([0]), normal.take([1]))


def test_fixed_views_are_kept_beside_the_image_itself(tmp_path):
    data = fixed(tmp_path)
    normal, _ = data.training(TASK)
    assert data.store.backbone_calls == 12 + 18
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 12 + 18
    again = fixed(tmp_path)
    assert torch.equal(again.training(TASK)[0].take(range(18)), normal.take(range(18)))
    assert again.store.backbone_calls == 0
    more = fixed(tmp_path, views=3)
    more.training(TASK)
    assert more.store.backbone_calls == 9, "two of three views are there already"


def test_fixed_views_are_the_same_without_a_cache(tmp_path):
    kept, live = fixed(tmp_path).training(TASK)[0], fixed(tmp_path, keep=False).training(TASK)[0]
    assert torch.equal(kept.take([0, 1, 1, 17]), live.take([0, 1, 1, 17]))


def test_fresh_views_differ_from_step_to_step_and_repeat_from_run_to_run(tmp_path):
    normal, held_out = fresh(tmp_path).training(TASK)
    first, second = normal.take([3, 4]), normal.take([3, 4])
    assert len(normal) == 9
    assert first.shape == (2, GRID, GRID, DIM)
    assert not torch.equal(first, second)
    assert torch.equal(held_out.take([0]), held_out.take([0]))
    again, _ = fresh(tmp_path).training(TASK)
    assert torch.equal(again.take([3, 4]), first)
    assert torch.equal(again.take([3, 4]), second)
    renamed, _ = fresh(tmp_path).training(Task(("washer",), 5))
    assert torch.equal(renamed.take([3, 4]), first), "the stream belongs to the name, not to the place"


def test_batches_of_fresh_views_are_rotated_and_stay_as_they_are(tmp_path):
    """Statistics may pass over a task's batches more than once."""
    normal, _ = fresh(tmp_path).training(TASK)
    plain, _ = stream(tmp_path).training(TASK)
    once, twice, upright = (torch.cat([batch.features for batch in one.batches()]) for one in (normal, normal, plain))
    assert torch.equal(once, twice)
    assert not torch.equal(once, upright)


def test_a_bad_image_is_skipped_with_all_its_views(tmp_path):
    data = fixed(tmp_path, on_bad_image="skip")
    good = data.training(TASK)[0]
    gone = good.samples[4].path
    gone.write_bytes(gone.read_bytes()[:200])
    normal, held_out = data.training(TASK)
    assert gone not in paths(normal)
    assert len(normal) + 2 * len(held_out) == 2 * 11
    assert list(data.skipped.images) == [str(gone)]
