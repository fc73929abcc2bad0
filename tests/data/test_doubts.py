"""What is told when a run starts: leaks, empty masks, a class of one image; and silence where all is well."""

import shutil
from pathlib import Path

import numpy as np
from layouts import image, mask, product
from PIL import Image

from moleflow.data.datasets import open_dataset
from moleflow.data.doubts import doubts
from moleflow.data.images import pixel_truth


def told(root: Path) -> list[str]:
    dataset = open_dataset("folder", root)
    train = [sample for name in dataset.classes for sample in dataset.train(name)]
    return list(doubts(train, [sample for name in dataset.classes for sample in dataset.test(name)], root))


def test_a_sound_dataset_is_not_doubted(tmp_path: Path) -> None:
    product(tmp_path, "nut")
    product(tmp_path)
    assert told(tmp_path) == []


def test_test_images_that_are_trained_on_are_told_once_with_the_first(tmp_path: Path) -> None:
    folder = product(tmp_path)
    for name in ("copy", "other"):
        shutil.copy(folder / "train/good/001.png", folder / f"test/good/{name}.png")
    assert told(tmp_path) == [
        "test image bolt/test/good/copy.png is trained on as well: byte for byte bolt/train/good/001.png (and 1 more), "
        "which makes results too good; `python -m moleflow data check` names them all"
    ]


def test_leaks_between_classes_are_told(tmp_path: Path) -> None:
    shutil.copy(product(tmp_path, "nut") / "train/good/001.png", product(tmp_path) / "test/dent/000.png")
    (sentence,) = told(tmp_path)
    assert "nut/train/good/001.png" in sentence


def test_an_empty_mask_is_told_and_leaves_its_image_to_image_metrics(tmp_path: Path) -> None:
    empty = mask(product(tmp_path) / "ground_truth/dent/001_mask.png", value=0)
    (sentence,) = told(tmp_path)
    assert sentence.startswith(f"mask {empty} of a defective image is empty: image metrics alone count it")
    truths = [pixel_truth(sample, 8, "squash") for sample in open_dataset("folder", tmp_path).test("bolt")]
    assert [truth is None for truth in truths] == [False, True, False, False]


def test_a_defect_too_small_to_be_seen_is_not_an_empty_mask(tmp_path: Path) -> None:
    folder = product(tmp_path)
    image(folder / "test/dent/000.png")
    faint = np.zeros((100, 120), np.uint8)
    faint[50, 50] = 255
    Image.fromarray(faint).save(folder / "ground_truth/dent/000_mask.png")
    Image.new("RGB", (120, 100)).save(folder / "test/dent/000.png")
    assert told(tmp_path) == []
    truth = pixel_truth(open_dataset("folder", tmp_path).test("bolt")[0], 8, "squash")
    assert truth is not None
    assert not truth.any()


def test_a_class_of_one_image_is_told(tmp_path: Path) -> None:
    folder = product(tmp_path)
    product(tmp_path, "nut")
    for stem in ("001", "002"):
        (folder / "train/good" / f"{stem}.png").unlink()
    (sentence,) = told(tmp_path)
    assert sentence.startswith("class 'bolt' has one training image, none is held out: it gets no threshold")


def test_files_that_cannot_be_read_are_left_to_who_reads_them(tmp_path: Path) -> None:
    (product(tmp_path) / "ground_truth/dent/001_mask.png").write_bytes(b"no mask")
    assert told(tmp_path) == []
