"""The inner validation: an ordinary dataset, of training images alone, resumed, and never mixed with another."""

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import image, product

import moleflow.data.synthetic.inner as inner
from moleflow.data.folder import FolderDataset
from moleflow.data.images import native_image, native_mask
from moleflow.data.synthetic.inner import MANIFEST, Recipe, partition, read_damaged, write_inner
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import write_json

RECIPE = Recipe(seed=0, held_out=0.3, per_kind=3, kinds=("spot", "cutpaste"))
opened: list[str] | None = None
"""What is opened, linked or listed while it is a list: an audit hook stays for good."""


def note(event: str, details: tuple[object, ...]) -> None:
    if opened is not None and event in ("open", "os.link", "os.listdir", "os.scandir"):
        opened.append(str(details[0]))


sys.addaudithook(note)


@pytest.fixture
def source(tmp_path: Path) -> FolderDataset:
    """Two classes: six training images and a test split each."""
    for name in ("bolt", "nut"):
        folder = product(tmp_path / "data", name)
        for stem in ("003", "004", "005"):
            image(folder / "train/good" / f"{stem}.png")
    return FolderDataset(tmp_path / "data")


def write(source: FolderDataset, root: Path, recipe: Recipe = RECIPE) -> Path:
    return write_inner(source, source.classes, root, recipe)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_it_is_a_dataset_whose_normal_images_are_the_training_images(source, tmp_path):
    made = FolderDataset(write(source, tmp_path / "out"))
    assert made.classes == ("bolt", "nut")
    test = made.test("bolt")
    assert Counter(sample.defect for sample in test) == {"good": 2, "spot": 3, "cutpaste": 3}
    normal = [sample.path.read_bytes() for sample in (*made.train("bolt"), *test) if sample.label == 0]
    assert sorted(normal) == sorted(sample.path.read_bytes() for sample in source.train("bolt"))
    for sample in test:
        if sample.label:
            assert native_mask(sample.mask).any()
            assert native_mask(sample.mask).shape == native_image(sample.path).shape[:2]


def test_anomalies_are_held_out_images_changed_in_their_masks(source, tmp_path):
    made = FolderDataset(write(source, tmp_path / "out"))
    held_out = [native_image(sample.path) for sample in made.test("nut") if sample.label == 0]
    for sample in made.test("nut"):
        if sample.label:
            outside = ~native_mask(sample.mask)
            same = [np.array_equal(native_image(sample.path)[outside], normal[outside]) for normal in held_out]
            assert sum(same) == 1


def test_no_file_of_the_test_split_is_touched(source, tmp_path):
    global opened
    opened = []
    try:
        write(source, tmp_path / "out")
        touched = set(opened)
    finally:
        opened = None
    train = {str(sample.path) for name in source.classes for sample in source.train(name)}
    assert train <= touched, "the hook sees what is opened"
    parts = {Path(name).relative_to(source.root).parts for name in touched if name.startswith(str(source.root))}
    assert {part[1] for part in parts if len(part) > 1} == {"train"}


def test_the_manifest_tells_seed_counts_and_source(source, tmp_path):
    book = json.loads((write(source, tmp_path / "out") / MANIFEST).read_text())
    assert book["settings"] == {"seed": 0, "held_out": 0.3, "per_kind": 3, "kinds": ["spot", "cutpaste"]}
    entry = book["classes"]["bolt"]
    assert entry["source"] == str(source.root)
    assert entry["counts"] == {"train/good": 4, "test/good": 2, "test/spot": 3, "test/cutpaste": 3}
    _, held_out = partition(source, "bolt", RECIPE)
    assert entry["held_out"] == [sample.path.relative_to(source.root).as_posix() for sample in held_out]


def test_an_interrupted_call_goes_on_and_ends_with_the_same_bytes(source, tmp_path, monkeypatch):
    whole, calls = files(write(source, tmp_path / "whole")), []

    def until_the_fourth(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return make(*given)

    make = inner.make_anomaly
    monkeypatch.setattr(inner, "make_anomaly", until_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        write(source, tmp_path / "out")
    assert files(tmp_path / "out") != whole
    (tmp_path / "out/bolt/test/spot/.1-half.tmp").write_bytes(b"a write that was killed")
    assert files(write(source, tmp_path / "out")) == whole
    assert len(calls) == 4 + 12 - 3, "three anomalies of twelve were there already"
    before = len(calls)
    write(source, tmp_path / "out")
    assert len(calls) == before


def test_seeds_hold_out_other_images_and_damage_the_same_ones_otherwise(source, tmp_path):
    held_out = [partition(source, "bolt", Recipe(seed, RECIPE.held_out))[1] for seed in range(100)]
    assert any(other != held_out[0] for other in held_out)
    alike = held_out.index(held_out[0], 1)
    first, second = (
        write_inner(source, ["bolt"], tmp_path / str(seed), Recipe(seed, RECIPE.held_out, 1, ("spot",)))
        for seed in (0, alike)
    )
    place = "bolt/test/spot/000.png"
    assert files(first)[place] != files(second)[place]


ALL_DAMAGED = replace(RECIPE, held_out=0.0)


@pytest.mark.parametrize(("per_kind", "images"), [(1, [0, 3]), (3, [0, 1, 2, 3, 4, 5]), (6, [0, 1, 2, 3, 4, 5])])
def test_with_nothing_held_out_the_damaged_images_are_spread_evenly_and_told(source, tmp_path, per_kind, images):
    root = write(source, tmp_path / "out", replace(ALL_DAMAGED, per_kind=per_kind))
    made = FolderDataset(root)
    assert len(made.train("nut")) == 6
    damaged = read_damaged(root, source, "nut")
    assert [one.sample for one in damaged] == made.test("nut")
    assert sorted({int(Path(one.source).stem) for one in damaged}) == images
    for one in damaged:
        outside = ~native_mask(one.sample.mask)
        normal = native_image(source.root / one.source)
        assert np.array_equal(native_image(one.sample.path)[outside], normal[outside])


@pytest.mark.parametrize("harm", ["one is missing", "one too many", "nothing but the list"])
def test_damaged_images_that_are_not_those_listed_are_refused(source, tmp_path, harm):
    root = write(source, tmp_path / "out", ALL_DAMAGED)
    one = next((root / "nut/test/spot").iterdir())
    if harm == "one is missing":
        one.unlink()
    elif harm == "one too many":
        shutil.copyfile(one, one.with_name("999.png"))
        shutil.copyfile(
            root / f"nut/ground_truth/spot/{one.stem}_mask.png", root / "nut/ground_truth/spot/999_mask.png"
        )
    else:
        shutil.rmtree(root / "nut")
    with pytest.raises(UsageError, match=r"was to hold 6 damaged images of 'nut', and does not hold all of them"):
        read_damaged(root, source, "nut")


def test_no_image_is_pasted_into_itself(source, tmp_path, monkeypatch):
    given = []
    make = inner.make_anomaly
    monkeypatch.setattr(inner, "make_anomaly", lambda *words: given.append(words[1:3]) or make(*words))
    write(source, tmp_path / "out", replace(ALL_DAMAGED, per_kind=20))
    assert len(given) == 80
    assert not any(np.array_equal(image, donor) for image, donor in given)


def test_damaged_images_of_another_recipe_or_of_other_images_are_refused(source, tmp_path):
    with pytest.raises(UsageError, match=r"holds no damaged training images of 'nut': make .*--held_out 0"):
        read_damaged(write(source, tmp_path / "held"), source, "nut")
    with pytest.raises(UsageError, match="holds no damaged training images"):
        read_damaged(tmp_path / "nowhere", source, "nut")
    root = write(source, tmp_path / "out", ALL_DAMAGED)
    image(source.root / "nut/train/good/006.png")
    with pytest.raises(UsageError, match="made from other images of 'nut': make it anew"):
        read_damaged(root, source, "nut")


def test_without_hard_links_images_are_copied(source, tmp_path, monkeypatch):
    linked = files(write(source, tmp_path / "linked"))

    def refuse(*_: object) -> None:
        raise OSError("other disk")

    assert (tmp_path / "linked/bolt/test/good").iterdir().__next__().stat().st_nlink > 1
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    root = write(source, tmp_path / "copied")
    assert files(root) == linked
    assert next((root / "bolt/test/good").iterdir()).stat().st_nlink == 1


def test_another_recipe_or_other_images_are_refused(source, tmp_path):
    root = write(source, tmp_path / "out")
    with pytest.raises(UsageError, match=r"was made with .*'seed': 0.*, asked for is .*'seed': 1.*another folder"):
        write(source, root, Recipe(1, 0.3, 3, RECIPE.kinds))
    image(source.root / "nut/train/good/006.png")
    with pytest.raises(UsageError, match="other images of 'nut'"):
        write(source, root)


def test_a_folder_of_something_else_is_refused(source, tmp_path):
    with pytest.raises(UsageError, match="no inner validation and not empty"):
        write(source, source.root)
    write_json(tmp_path / "odd" / MANIFEST, ["?"])
    with pytest.raises(MoleflowError, match="damaged"):
        write(source, tmp_path / "odd")
    with pytest.raises(MoleflowError, match="damaged"):
        read_damaged(tmp_path / "odd", source, "nut")


def test_a_class_of_one_image_or_of_one_colour_is_an_error(source, tmp_path):
    good = source.root / "bolt/train/good"
    for path in sorted(good.iterdir())[1:]:
        path.unlink()
    with pytest.raises(UsageError, match="'bolt' has 1 normal training image"):
        write(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kinds": ("spott",)}, "did you mean 'spot'"),
        ({"kinds": ("spot", "spot")}, "lists one twice"),
        ({"held_out": 1.0}, "--held_out expects a share from 0 to below 1, found 1.0"),
        ({"held_out": -0.1}, "--held_out"),
        ({"per_kind": 0}, "--per_kind expects a number from 1 up"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_recipes_that_cannot_be_are_refused(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe(**settings)
