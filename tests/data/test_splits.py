"""Splits: shares, no image twice, the same on every machine, kept once written."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from layouts import image, mask

from moleflow.data.datasets import open_dataset
from moleflow.data.folder import FolderDataset
from moleflow.data.splits import PARTS, Split, make_split, open_split
from moleflow.utils.errors import MoleflowError, UsageError


def bolts(root: Path, train: int = 20, good: int = 5, dents: int = 10, cracks: int = 10) -> FolderDataset:
    """A class of the MVTec layout with two types of defects."""
    for split, count in (("train/good", train), ("test/good", good), ("test/dent", dents), ("test/crack", cracks)):
        for index in range(count):
            image(root / "bolt" / split / f"{index:03}.png")
            if split in ("test/dent", "test/crack"):
                mask(root / "bolt/ground_truth" / split.removeprefix("test/") / f"{index:03}_mask.png")
    return FolderDataset(root)


def places(split: Split, root: Path) -> dict[str, list[str]]:
    return {part: [sample.path.relative_to(root).as_posix() for sample in split.part(part)] for part in PARTS}


def test_shares_are_those_of_the_protocol(tmp_path):
    split = make_split(bolts(tmp_path), "bolt")
    counts = {part: Counter(sample.defect for sample in split.part(part)) for part in PARTS}
    assert counts == {"train": {"good": 16}, "val": {"good": 4, "dent": 3, "crack": 3},
                      "test": {"good": 5, "dent": 7, "crack": 7}}  # fmt: skip


@pytest.mark.parametrize(("dents", "cracks", "expected"), [(1, 1, 1), (3, 0, 1), (0, 0, 0), (7, 2, 3)])
def test_the_share_of_defects_is_exact_in_sum(tmp_path, dents, cracks, expected):
    split = make_split(bolts(tmp_path, dents=dents, cracks=cracks), "bolt")
    assert sum(sample.label for sample in split.val) == expected
    assert sum(sample.label for sample in split.test) == dents + cracks - expected


def test_types_give_defects_by_their_numbers(tmp_path):
    split = make_split(bolts(tmp_path, dents=20, cracks=10), "bolt")
    assert Counter(sample.defect for sample in split.val if sample.label) == {"dent": 6, "crack": 3}


def test_no_image_is_in_two_parts_and_none_is_lost(tmp_path):
    dataset = bolts(tmp_path)
    found = [place for part in places(make_split(dataset, "bolt"), tmp_path).values() for place in part]
    assert sorted(found) == sorted(
        sample.path.relative_to(tmp_path).as_posix() for sample in [*dataset.train("bolt"), *dataset.test("bolt")]
    )


def test_normal_validation_images_come_from_training_ones_and_normal_test_images_all_stay(tmp_path):
    found = places(make_split(bolts(tmp_path), "bolt"), tmp_path)
    assert all(place.startswith("bolt/train/good") for place in found["val"] if "good" in place)
    assert sum("good" in place for place in found["test"]) == 5
    assert all(part == sorted(part) for part in found.values())


def test_chance_follows_the_seed_and_not_the_folder(tmp_path):
    one, other = bolts(tmp_path / "a"), bolts(tmp_path / "elsewhere")
    assert places(make_split(one, "bolt"), one.root) == places(make_split(other, "bolt"), other.root)
    for part in PARTS:
        assert places(make_split(one, "bolt", 43), one.root)[part] != places(make_split(one, "bolt"), one.root)[part]


def test_a_class_of_one_image_is_refused(tmp_path):
    with pytest.raises(UsageError, match="has 1 normal training image"):
        make_split(bolts(tmp_path, train=1), "bolt")
    assert [len(make_split(bolts(tmp_path, train=2), "bolt").part(part)) for part in ("train",)] == [1]


def test_a_written_split_is_read_again_and_says_what_it_is(tmp_path):
    dataset = bolts(tmp_path / "data")
    split = open_split(dataset, "bolt", tmp_path / "splits")
    file = tmp_path / "splits" / "bolt.json"
    stored, written = json.loads(file.read_text()), file.stat().st_mtime_ns
    assert stored["seed"] == 42
    assert stored["counts"]["val"] == {"crack": 3, "dent": 3, "good": 4}
    assert stored["train"] == places(split, dataset.root)["train"]
    assert open_split(dataset, "bolt", tmp_path / "splits") == split == make_split(dataset, "bolt")
    assert file.stat().st_mtime_ns == written


def test_the_file_decides_not_the_seed(tmp_path):
    """A split that was made by hand, or by an older version, stays what it is."""
    dataset, file = bolts(tmp_path / "data"), tmp_path / "splits" / "bolt.json"
    first = open_split(dataset, "bolt", file.parent)
    stored = json.loads(file.read_text())
    stored["test"].append(stored["val"].pop())
    file.write_text(json.dumps(stored))
    assert len(open_split(dataset, "bolt", file.parent).val) == len(first.val) - 1


def test_another_seed_is_refused(tmp_path):
    dataset = bolts(tmp_path / "data")
    open_split(dataset, "bolt", tmp_path)
    with pytest.raises(UsageError, match="split with seed 42, expected 7"):
        open_split(dataset, "bolt", tmp_path, 7)


@pytest.mark.parametrize("change", ["content", "fewer", "more", "mask"])
def test_other_images_are_refused(tmp_path, change):
    dataset = bolts(tmp_path / "data")
    before = open_split(dataset, "bolt", tmp_path / "splits")
    folder = dataset.root / "bolt"
    match change:
        case "content":
            shutil.copy(folder / "test/dent/001.png", folder / "test/dent/000.png")
        case "fewer":
            (folder / "train/good/000.png").unlink()
        case "more":
            image(folder / "test/good/099.png")
        case "mask":
            mask(folder / "ground_truth/dent/000_mask.png", value=7)
    written = (tmp_path / "splits/bolt.json").read_bytes()
    with pytest.raises(UsageError, match="other images of 'bolt'"):
        open_split(FolderDataset(dataset.root), "bolt", tmp_path / "splits")
    assert (tmp_path / "splits/bolt.json").read_bytes() == written
    assert before


@pytest.mark.parametrize("damage", ["{", "[]", '{"seed": 42}', "list"])
def test_a_damaged_file_is_one_sentence(tmp_path, damage):
    dataset, file = bolts(tmp_path / "data"), tmp_path / "bolt.json"
    open_split(dataset, "bolt", tmp_path)
    stored = {**json.loads(file.read_text()), "train": ["bolt/nowhere.png"]}
    file.write_text(json.dumps(stored) if damage == "list" else damage)
    with pytest.raises(MoleflowError, match=r"bolt\.json"):
        open_split(dataset, "bolt", tmp_path)


def test_every_dataset_can_be_split(tmp_path):
    bolts(tmp_path)
    assert make_split(open_dataset("folder", tmp_path), "bolt").class_name == "bolt"
