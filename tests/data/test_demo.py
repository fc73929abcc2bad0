"""The generated products: same bytes for the same seed, exact masks, and folders that are never half made."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from moleflow.data import demo
from moleflow.data.datasets import open_dataset
from moleflow.data.demo import MANIFEST, render, write_demo
from moleflow.data.images import check_samples, load_image, load_mask
from moleflow.data.products import PRODUCTS
from moleflow.utils.errors import UsageError

SMALL = {"train": 2, "test_good": 1, "per_defect": 1, "size": 64}
DEFECTS = [(name, defect) for name, product in PRODUCTS.items() for defect in product.defects]


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_there_are_enough_products_and_defects() -> None:
    assert len(PRODUCTS) >= 6
    assert all(len(product.defects) >= 3 for product in PRODUCTS.values())
    assert {"fabric", "washer", "biscuit"} <= set(PRODUCTS)


def test_layout_counts_and_masks_on_disk(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "demo", **{**SMALL, "per_defect": 2})
    dataset = open_dataset("demo", root)
    assert dataset.classes == tuple(PRODUCTS)
    for name in dataset.classes:
        test = dataset.test(name)
        assert (len(dataset.train(name)), sum(s.label == 0 for s in test)) == (2, 1)
        assert {s.defect for s in test} == {"good", *PRODUCTS[name].defects}
        assert all((s.mask is not None) == bool(s.label) for s in test)
        assert len(check_samples([*dataset.train(name), *test], "error")[0]) == len(test) + 2


def test_files_hold_what_render_makes_of_each_image_alone(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "demo", seed=3, classes=["washer"], **SMALL)
    image, _, mask = render(3, "washer", "test/rust", 0, 64)
    np.testing.assert_array_equal(load_image(root / "washer/test/rust/000.png", 64, "squash"), image)
    found = load_mask(root / "washer/ground_truth/rust/000_mask.png", 64, "squash")
    np.testing.assert_array_equal(found, mask)


def test_same_seed_same_bytes_other_seed_other_pictures(tmp_path: Path) -> None:
    one = content(write_demo(tmp_path / "one", seed=1, **SMALL))
    again = content(write_demo(tmp_path / "again", seed=1, **SMALL))
    other = content(write_demo(tmp_path / "other", seed=2, **SMALL))
    assert one == again
    assert one.keys() == other.keys()
    assert not [name for name in one if "/train/" in name and one[name] == other[name]]
    assert len({data for name, data in one.items() if "ground_truth" not in name}) == sum(
        "ground_truth" not in name for name in one
    )


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_mask_is_where_the_image_differs_from_its_flawless_twin(name: str, defect: str) -> None:
    for index in range(2):
        image, twin, mask = render(0, name, f"test/{defect}", index, 256)
        changed = (image != twin).any(axis=-1)
        assert not (changed & ~mask).any()
        assert 0.0015 < mask.mean() < 0.08
        assert binary_erosion(mask).sum() > 0.25 * mask.sum()  # no slivers
        step = np.abs(image.astype(int) - twin).max(axis=-1)[mask]
        assert (step >= np.floor(demo.VISIBLE * 255) - 1).mean() > 0.98  # clipping at black and white may hide a few
        assert np.median(step) > 0.05 * 255


@pytest.mark.parametrize("name", PRODUCTS)
def test_good_images_vary_and_have_no_mask(name: str) -> None:
    first, twin, mask = render(0, name, "train/good", 0, 128)
    second, _, _ = render(0, name, "train/good", 1, 128)
    assert first.dtype == np.uint8
    assert first.shape == (128, 128, 3)
    assert not mask.any()
    np.testing.assert_array_equal(first, twin)
    assert np.abs(first.astype(float) - second).mean() > 1


@pytest.mark.parametrize("size", [64, 100, 224])
def test_every_defect_shows_at_other_sizes(size: int) -> None:
    for name, defect in DEFECTS:
        assert render(5, name, f"test/{defect}", 0, size)[2].any(), (name, defect)


def test_second_call_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_demo(tmp_path / "demo", classes=["plank", "washer"], **SMALL)
    before = content(root)

    def refuse(*_: object) -> None:
        raise AssertionError("an image was drawn again")

    monkeypatch.setattr(demo, "render", refuse)
    write_demo(root, classes=["plank", "washer"], **SMALL)
    write_demo(root, classes=["plank"], **SMALL)
    assert content(root) == before


def test_more_classes_are_added_and_other_settings_replace(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "demo", classes=["plank"], **SMALL)
    before = content(root)
    write_demo(root, classes=["washer"], **SMALL)
    assert open_dataset("demo", root).classes == ("washer", "plank")
    assert {k: v for k, v in content(root).items() if k in before and k != MANIFEST}.items() <= before.items()
    write_demo(root, seed=9, classes=["board"], **SMALL)
    assert open_dataset("demo", root).classes == ("board",)
    assert json.loads((root / MANIFEST).read_text())["seed"] == 9


def test_interrupted_generation_leaves_nothing_and_is_redone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(write_demo(tmp_path / "whole", classes=["plank"], **SMALL))
    draw, drawn = demo.render, []

    def stop_at_the_fourth(*arguments: object) -> tuple:
        drawn.append(arguments)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr(demo, "render", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path / "demo", classes=["plank"], **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert content(write_demo(tmp_path / "demo", classes=["plank"], **SMALL)) == whole


def test_lost_image_is_made_again(tmp_path: Path) -> None:
    root = write_demo(tmp_path / "demo", classes=["plank"], **SMALL)
    before = content(root)
    (root / "plank/train/good/001.png").unlink()
    write_demo(root, classes=["plank"], **SMALL)
    assert content(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_faster_process_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "demo"
    write_all = demo._write_all

    def meanwhile(made: Path, classes: set[str], settings: dict[str, int]) -> None:
        write_all(made, classes, settings)
        write_all(root, classes, settings)
        (root / "plank/from_the_other").touch()

    monkeypatch.setattr(demo, "_write_all", meanwhile)
    write_demo(root, classes=["plank"], **SMALL)
    assert (root / "plank/from_the_other").exists()


def test_foreign_folders_are_never_replaced(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    (own / "plank").mkdir(parents=True)
    (own / "plank/thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match=r"holds 'plank', which the demo did not write"):
        write_demo(own, classes=["plank"], **SMALL)
    root = write_demo(tmp_path / "demo", classes=["plank"], **SMALL)
    (root / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'notes.txt'"):
        write_demo(root, seed=4, classes=["plank"], **SMALL)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="which the demo did not write"):
        write_demo(tmp_path / "file", classes=["plank"], **SMALL)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert open_dataset("demo", write_demo(empty, classes=["plank"], **SMALL)).classes == ("plank",)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'washr'.*did you mean 'washer'"):
        write_demo(tmp_path / "demo", classes=["washr"])
    with pytest.raises(UsageError, match="size >= 64"):
        write_demo(tmp_path / "demo", size=32)
    with pytest.raises(UsageError, match="train >= 1"):
        write_demo(tmp_path / "demo", train=0)
    assert not list(tmp_path.iterdir())
