"""E4: features are the same bytes whichever way they come, and are computed once."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moleflow.data.images import BadImage, load_image
from moleflow.data.sample import Sample
from moleflow.extractors import cache, feature_files
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.vit_extractor import VitExtractor
from moleflow.extractors.weights import Weights

NUMBER = 7  # no multiple of the batch size


@pytest.fixture(scope="module")
def extractor(random_weights):
    return CnnExtractor("test_resnet", ("layer1", "layer2"), 64, 64, None, random_weights("test_resnet"))


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return [picture(tmp_path / "images" / f"{number}.png", (80, 96), number) for number in range(NUMBER)]


def picture(path: Path, shape: tuple[int, int], seed: int = 0) -> Sample:
    """A file of noise, (height, width)."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)).save(path)
    return Sample(path, "thing", 0, "good", None)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def open_store(extractor, folder, **options) -> FeatureStore:
    return FeatureStore(extractor, options.pop("resize", "squash"), folder, **options)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def direct(extractor, samples) -> torch.Tensor:
    """Features without a store: one image after another, one thread."""
    pixels = [torch.from_numpy(load_image(s.path, extractor.img_size, "squash").copy()) for s in samples]
    return torch.cat([extractor(p.permute(2, 0, 1)[None].float() / 255) for p in pixels])


def test_features_are_the_extractors(extractor, samples, folder):
    found = open_store(extractor, folder).features(samples)
    assert found.shape == (NUMBER, *extractor.grid, extractor.dim)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, direct(extractor, samples), rtol=2e-3, atol=1e-4)


def test_the_same_bytes_whichever_way(extractor, samples, folder, threads):
    cached, live = open_store(extractor, folder), open_store(extractor, None)
    cached.prepare(samples)
    expected = cached.features(samples)
    assert torch.equal(live.features(samples), expected)
    for row, sample in enumerate(samples):
        assert torch.equal(live.features([sample])[0], expected[row])
    order = [5, 2, 2, 0]
    assert torch.equal(live.features([samples[row] for row in order]), expected[order])
    assert torch.equal(cached.features([samples[row] for row in order]), expected[order])


@pytest.mark.parametrize("kind", ["cnn", "vit"])
def test_the_same_bytes_for_any_number_of_threads(kind, samples, random_weights):
    """Not so without care: with more threads, kernels split their sums in other places."""
    if kind == "cnn":
        layers = ("layer2", "layer3")
        extractor = CnnExtractor(
            "tf_efficientnet_lite0", layers, 256, 64, None, random_weights("tf_efficientnet_lite0")
        )
    else:
        extractor = VitExtractor("test_vit", (0, 1), "concat", 256, 64, None, random_weights("test_vit"))
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            found.append(open_store(extractor, None, batch_size=2).features(samples))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_the_backbone_sees_an_image_once_and_one_shape_only(extractor, samples, folder, monkeypatch):
    shapes = []
    hook = extractor.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[0].shape)))
    first = open_store(extractor, folder)
    assert first.prepare(samples) == (samples, [])
    assert first.backbone_calls == NUMBER
    first.features(samples)
    first.prepare([*samples, *samples])
    assert first.backbone_calls == NUMBER
    second = open_store(extractor, folder)
    second.prepare(samples)
    assert torch.equal(second.features(samples), first.features(samples))
    assert second.backbone_calls == 0
    hook.remove()
    assert shapes == [(4, 3, 64, 64)] * 2
    assert len(files(folder)) == NUMBER


def test_images_of_any_shape_have_the_same_bytes_in_any_company(extractor, folder, tmp_path):
    mixed = [picture(tmp_path / f"{row}.png", shape) for row, shape in enumerate([(40, 96), (64, 64)] * 2)]
    found = open_store(extractor, folder, resize="fit").features(mixed)
    assert found.shape == (4, *extractor.grid, extractor.dim)
    alone, squashed = (open_store(extractor, None, resize=resize) for resize in ("fit", "squash"))
    for row, sample in enumerate(mixed):
        assert torch.equal(alone.features([sample])[0], found[row])
    same = [torch.equal(one, two) for one, two in zip(squashed.features(mixed), found, strict=True)]
    assert same == [False, True, False, True], "squares are as ever"


def test_features_asked_for_without_preparing_are_kept(extractor, samples, folder):
    store = open_store(extractor, folder)
    expected = store.features([samples[0], samples[0], samples[1]])
    assert store.backbone_calls == 2
    assert torch.equal(open_store(extractor, folder).features(samples[:1])[0], expected[0])
    assert store.features([]).shape == (0, *extractor.grid, extractor.dim)


def test_without_a_folder_nothing_is_kept(extractor, samples, tmp_path):
    before = files(tmp_path)
    store = open_store(extractor, None)
    assert store.prepare(samples) == (samples, [])
    assert store.backbone_calls == 0
    store.features(samples)
    store.features(samples)
    assert store.backbone_calls == 2 * NUMBER
    assert files(tmp_path) == before


def change_pixels(sample: Sample) -> None:
    pixels = np.asarray(Image.open(sample.path)).copy()
    pixels[:40] = 255 - pixels[:40]
    Image.fromarray(pixels).save(sample.path)


def test_a_changed_image_misses_and_a_copy_hits(extractor, samples, folder, tmp_path):
    store = open_store(extractor, folder)
    before = store.features(samples)
    change_pixels(samples[3])
    after = store.features(samples)
    assert store.backbone_calls == NUMBER + 1
    assert not torch.equal(after[3], before[3])
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(samples[1].path.read_bytes())
    os.utime(copy, (1, 1))
    assert torch.equal(store.features([Sample(copy, "other", 1, "hole", None)])[0], before[1])
    assert store.backbone_calls == NUMBER + 1


@pytest.mark.parametrize("change", ["resize", "batch_size", "layers", "img_size", "grid", "weights"])
def test_whatever_changes_features_misses(extractor, samples, folder, random_weights, change):
    open_store(extractor, folder).prepare(samples)
    weights = random_weights("test_resnet")
    arguments = {
        "layers": ("test_resnet", ("layer1",), 64, 64, None, weights),
        "img_size": ("test_resnet", ("layer1", "layer2"), 64, 80, None, weights),
        "grid": ("test_resnet", ("layer1", "layer2"), 64, 64, 2, weights),
        "weights": ("test_resnet", ("layer1", "layer2"), 64, 64, None, Weights(weights.state, "x", "other")),
    }
    other = CnnExtractor(*arguments[change]) if change in arguments else extractor
    options = {"resize": {"resize": "crop"}, "batch_size": {"batch_size": 3}}.get(change, {})
    store = open_store(other, folder, **options)
    store.prepare(samples)
    assert store.backbone_calls == NUMBER


DAMAGES = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "a flipped bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "something else": lambda data: b"not features at all",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_computed_again_with_a_warning(extractor, samples, folder, damage, caplog):
    expected = open_store(extractor, folder).features(samples)
    path = files(folder)[2]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    store = open_store(extractor, folder)
    with caplog.at_level(logging.WARNING, logger="moleflow"):
        store.prepare(samples)
    assert f"{path} are damaged" in caplog.text
    assert store.backbone_calls == 1
    assert torch.equal(store.features(samples), expected)
    again = open_store(extractor, folder)
    again.prepare(samples)
    assert again.backbone_calls == 0


def test_a_sound_file_of_another_shape_is_damaged(extractor, samples, folder):
    store = open_store(extractor, folder)
    expected = store.features(samples[:1])
    key = files(folder)[0].stem
    feature_files.FeatureFiles(files(folder)[0].parent, (1, 2, 3)).write(key, np.zeros((1, 2, 3), np.float16))
    assert torch.equal(open_store(extractor, folder).features(samples[:1]), expected)


def test_a_file_cut_off_or_removed_under_way_is_computed_again(extractor, samples, folder):
    store = open_store(extractor, folder)
    expected = store.features(samples)
    store.features(samples)  # from disk: from now on, checksums count as verified
    first, second = files(folder)[:2]
    first.write_bytes(first.read_bytes()[:300])
    second.unlink()
    assert torch.equal(store.features(samples), expected)
    assert store.backbone_calls == NUMBER + 2


def test_two_stores_share_a_folder(extractor, samples, folder):
    """Interleaved runs: what one computes the other finds, and both may write the same file."""
    first, second = open_store(extractor, folder), open_store(extractor, folder)
    first.prepare(samples[:4])
    second.prepare(samples)
    assert (first.backbone_calls, second.backbone_calls) == (4, NUMBER - 4)
    assert torch.equal(first.features(samples), second.features(samples))
    assert first.backbone_calls == 4
    written = {path: path.read_bytes() for path in files(folder)}
    list(first._computed(samples))
    assert {path: path.read_bytes() for path in files(folder)} == written


@pytest.fixture
def damaged(samples):
    samples[2].path.write_bytes(samples[2].path.read_bytes()[:300])
    samples[5].path.unlink()
    return samples


@pytest.mark.parametrize("keep", [True, False])
def test_bad_images_are_skipped_and_named(extractor, damaged, folder, keep, threads):
    store = open_store(extractor, folder if keep else None)
    good, bad = store.prepare(damaged, "skip")
    assert good == [sample for row, sample in enumerate(damaged) if row not in (2, 5)]
    assert [problem.path for problem in bad] == [damaged[2].path, damaged[5].path]
    expected = direct(extractor, good)
    torch.testing.assert_close(store.features(good), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("keep", [True, False])
def test_a_bad_image_is_an_error_unless_skipped(extractor, damaged, folder, keep, threads):
    store = open_store(extractor, folder if keep else None)
    with pytest.raises(BadImage, match=r"2\.png.*--on_bad_image skip"):
        store.prepare(damaged)
    with pytest.raises(BadImage, match=r"5\.png"):
        store.features([damaged[0], damaged[5]])


@pytest.mark.parametrize("factor", [1e6, float("nan")])
def test_features_beyond_fp16_are_refused_by_name(samples, folder, random_weights, factor):
    extractor = CnnExtractor("test_resnet", ("layer1",), 64, 64, None, random_weights("test_resnet"))
    extractor.std.div_(factor)  # blows the normalised image up
    store = open_store(extractor, folder)
    with pytest.raises(BadImage, match=r"0\.png.*not finite in fp16"):
        store.prepare(samples)
    good, bad = store.prepare(samples, "skip")
    assert (len(good), len(bad)) == (0, NUMBER)
    with pytest.raises(BadImage, match="not finite"):
        open_store(extractor, None).features(samples)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_gives_way_with_one_warning(extractor, samples, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = open_store(extractor, tmp_path / "file")
    assert store.prepare(samples) == (samples, [])
    assert torch.equal(store.features(samples), open_store(extractor, None).features(samples))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the feature cache cannot be used" in caplog.text
    assert "--feature_cache" in caplog.text


def test_a_full_disk_costs_time_only(extractor, samples, folder, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    open_store(extractor, folder).prepare(samples[:2])
    monkeypatch.setattr("pathlib.Path.replace", full)
    store = open_store(extractor, folder)
    store.prepare(samples)
    assert caplog.text.count("No space left on device") == 1
    assert torch.equal(store.features(samples), open_store(extractor, None).features(samples))
    assert len(files(folder)) == 2, "what was there is still used"


def test_a_file_that_cannot_be_read_is_computed_again(extractor, samples, folder, monkeypatch, caplog):
    open_store(extractor, folder).prepare(samples)
    broken = files(folder)[0]

    def read_bytes(path):
        if path == broken:
            raise OSError(5, "Input/output error")
        return path.open("rb").read()

    monkeypatch.setattr("pathlib.Path.read_bytes", read_bytes)
    store = open_store(extractor, folder)
    assert torch.equal(store.features(samples), open_store(extractor, None).features(samples))
    assert store.backbone_calls == 1
    assert caplog.text.count("Input/output error") == 1


def test_an_images_content_is_hashed_once(extractor, samples, folder):
    cache._content_hash.cache_clear()
    store = open_store(extractor, folder)
    store.prepare(samples)
    for _ in range(3):
        store.features(samples)
    assert cache._content_hash.cache_info().misses == NUMBER


def test_batches_are_worked_on_side_by_side_and_stay_in_order():
    seen = []

    def work(item):
        seen.append(item)
        return -item

    results = cache._side_by_side(work, range(50), 2)
    assert next(results) == 0
    assert len(seen) < 12  # only little is computed ahead
    assert list(results) == [-item for item in range(1, 50)]
