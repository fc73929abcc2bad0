"""Each thing that can be wrong with a dataset's files is told in one sentence."""

import shutil
import time
from pathlib import Path

import pytest
from layouts import domains, image, mask, product, visa
from PIL import Image

from moleflow.data.check import SHOWN, ClassCheck, check_dataset, describe
from moleflow.data.datasets import facts_of, open_dataset
from moleflow.data.duplicates import HEAD, duplicates
from moleflow.data.facts import Counts, Facts
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError


def check(root: Path, name: str = "folder", facts: Facts | None = None, **how: object) -> dict[str, ClassCheck]:
    checks = check_dataset(open_dataset(name, root), facts or Facts(), **how)
    return {one.name: one for one in checks}


def only_problem(root: Path, **how: object) -> str:
    problems = [problem for one in check(root, **how).values() for problem in one.problems]
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    return problems[0]


def test_a_whole_dataset_is_counted_and_has_no_problem(tmp_path: Path) -> None:
    product(tmp_path, "nut")
    image(product(tmp_path) / "test/odd/000.png")
    assert list(check(tmp_path).values()) == [
        ClassCheck("bolt", None, train=3, good=2, defective=3, masks=2),
        ClassCheck("nut", None, train=3, good=2, defective=2, masks=2),
    ]


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
@pytest.mark.parametrize("split", ["train/good", "test/good", "test/odd"])
def test_an_image_cut_short_is_named(tmp_path: Path, suffix: str, split: str, decode: bool) -> None:
    cut = image(product(tmp_path) / split / f"cut.{suffix}")
    assert check(tmp_path, decode=decode)["bolt"].problems == []
    cut.write_bytes(cut.read_bytes()[:-40])
    sentence = only_problem(tmp_path, decode=decode)
    assert str(cut) in sentence
    assert sentence.startswith("cannot use image")


def test_bytes_after_the_end_of_an_image_are_no_damage(tmp_path: Path) -> None:
    for suffix in ("png", "jpg"):
        file = image(product(tmp_path) / f"train/good/padded.{suffix}")
        file.write_bytes(file.read_bytes() + bytes(5000))
    assert check(tmp_path)["bolt"].problems == []


def test_damage_inside_an_image_is_found_by_decoding_it(tmp_path: Path) -> None:
    file = product(tmp_path) / "train/good/000.png"
    content = bytearray(file.read_bytes())
    middle = content.index(b"IDAT") + 20
    content[middle : middle + 20] = bytes(20)
    file.write_bytes(content)
    assert check(tmp_path)["bolt"].problems == []
    assert str(file) in only_problem(tmp_path, decode=True)


def test_an_empty_file_is_unreadable_and_no_duplicate_of_another(tmp_path: Path) -> None:
    folder = product(tmp_path)
    for split in ("train", "test"):
        (folder / split / "good/000.png").write_bytes(b"")
    problems = check(tmp_path)["bolt"].problems
    assert len(problems) == 2
    assert all("the file is empty" in problem for problem in problems)


def test_an_empty_mask_of_a_defective_image_is_named(tmp_path: Path) -> None:
    empty = mask(product(tmp_path) / "ground_truth/dent/001_mask.png", value=0)
    sentence = only_problem(tmp_path)
    assert sentence.startswith(f"mask {empty} of a defective image is empty")


def test_a_mask_with_one_faint_pixel_is_not_empty(tmp_path: Path) -> None:
    mask(product(tmp_path) / "ground_truth/dent/001_mask.png", value=1)
    assert check(tmp_path)["bolt"].problems == []


def test_a_mask_of_another_size_or_missing_is_named(tmp_path: Path) -> None:
    wrong = product(tmp_path) / "ground_truth/dent/001_mask.png"
    Image.new("L", (5, 5), 255).save(wrong)
    assert f"{wrong}: mask is 5x5 pixels" in only_problem(tmp_path)
    wrong.unlink()
    assert f"has no mask: expected {wrong}" in only_problem(tmp_path)


def test_a_test_image_that_is_trained_on_is_named_with_its_twin(tmp_path: Path) -> None:
    folder = product(tmp_path)
    shutil.copy(folder / "train/good/001.png", folder / "test/good/copy.png")
    assert only_problem(tmp_path) == (
        "test image bolt/test/good/copy.png is trained on as well: byte for byte bolt/train/good/001.png"
    )


def test_duplicates_are_found_across_classes_and_told_of_the_tested_class(tmp_path: Path) -> None:
    shutil.copy(product(tmp_path, "nut") / "train/good/001.png", product(tmp_path) / "test/dent/000.png")
    found = check(tmp_path)
    assert found["nut"].problems == []
    assert "nut/train/good/001.png" in found["bolt"].problems[0]


def test_images_twice_in_one_split_are_no_leak(tmp_path: Path) -> None:
    folder = product(tmp_path)
    for split in ("train/good", "test/good"):
        shutil.copy(folder / split / "001.png", folder / split / "copy.png")
    assert check(tmp_path)["bolt"].problems == []


def test_duplicates_compare_size_then_head_then_everything(tmp_path: Path) -> None:
    head = bytes(range(256)) * (HEAD // 256)
    contents = {"a": head + b"1", "b": head + b"2", "c": head + b"1", "d": b"1" + head, "e": head + b"11"}
    samples = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        samples[name] = Sample(tmp_path / name, "bolt", 0, "good", None)
    a, b, c, d, e = samples.values()
    assert duplicates([a, b], [d, c, e]) == [(a, c)]
    assert duplicates([a, c], [c, a]) == [(a, c), (a, a)], "with the first of several"
    assert duplicates([b], [a, d, e]) == []
    gone = Sample(tmp_path / "gone", "bolt", 0, "good", None)
    assert duplicates([gone], [gone]) == []


def test_an_image_that_visa_lists_for_both_splits_is_a_leak(tmp_path: Path) -> None:
    file = visa(tmp_path, "candle")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1].replace(",train,", ",test,")]) + "\n")
    assert only_problem(tmp_path, name="visa") == (
        "test image candle/Data/Images/Normal/0000.JPG is trained on as well: the same file"
    )


def test_missing_files_of_a_split_file_are_told_once(tmp_path: Path) -> None:
    visa(tmp_path, "candle", "pcb1")
    for path in (tmp_path / "pcb1/Data/Images/Normal").iterdir():
        path.unlink()
    found = check(tmp_path, "visa")
    assert found["candle"].problems == []
    train, test = found["pcb1"].problems
    assert "0000.JPG in line 7, which does not exist (and 1 more" in train
    assert "0001.JPG in line 9, which does not exist" in test


def test_a_class_with_one_image_is_too_small(tmp_path: Path) -> None:
    folder = product(tmp_path)
    for stem in ("001", "002"):
        (folder / "train/good" / f"{stem}.png").unlink()
    assert only_problem(tmp_path).startswith("1 normal training image found: 2 are needed")
    image(folder / "train/good/001.png")
    assert check(tmp_path)["bolt"].problems == []


def test_counts_are_compared_with_the_published_ones(tmp_path: Path) -> None:
    product(tmp_path)
    assert check(tmp_path, facts=Facts({"bolt": Counts(3, 2, 2)}))["bolt"].problems == []
    assert check(tmp_path, facts=Facts({"bolt": Counts(None, 2, 2)}))["bolt"].problems == []
    assert check(tmp_path, facts=Facts({"bolt": Counts(4, 1, 2)}))["bolt"].problems == [
        "3 normal training images found, 4 published",
        "2 normal test images found, 1 published",
    ]
    assert check(tmp_path, facts=Facts({"bolt": Counts(3, 2, 5)}))["bolt"].problems == [
        "2 defective test images found, 5 published"
    ]


def test_a_published_class_without_a_folder_is_missing(tmp_path: Path) -> None:
    product(tmp_path, "tubes")
    found = check(tmp_path, "mpdd", facts_of("mpdd"))
    assert found["connector"].problems == ["its folder is missing"]
    (tmp_path / "connector/test/good").mkdir(parents=True)
    assert "connector/train/good is missing" in check(tmp_path, "mpdd", facts_of("mpdd"))["connector"].problems[0]
    assert list(found) == list(facts_of("mpdd").counts), "in the official order"


def test_a_folder_that_looks_begun_is_no_class_and_is_told(tmp_path: Path) -> None:
    product(tmp_path)
    image(tmp_path / "half/test/good/000.png")
    (tmp_path / "notes").mkdir()
    found = check(tmp_path)
    assert list(found) == ["bolt", "half"]
    assert "half/train/good is missing" in found["half"].problems[0]


def test_an_empty_training_folder_hides_nothing_else(tmp_path: Path) -> None:
    for path in (product(tmp_path) / "train/good").iterdir():
        path.unlink()
    (tmp_path / "bolt/test/good/000.png").write_bytes(b"no image")
    first, second = check(tmp_path)["bolt"].problems
    assert "train/good holds no image" in first
    assert "no image format" in second


def test_some_classes_only(tmp_path: Path) -> None:
    domains(tmp_path)
    asked = check_dataset(open_dataset("domains", tmp_path), Facts(), ["domain_C", "domain_A", "domain_C"])
    assert [one.name for one in asked] == ["domain_C", "domain_A"]
    with pytest.raises(UsageError, match=r"unknown class 'domain_c'.*domain_A, domain_B.*did you mean 'domain_[A-D]'"):
        check(tmp_path, "domains", classes=["domain_c"])


def test_the_words_hold_counts_problems_and_their_sum() -> None:
    good = ClassCheck("bolt", Counts(3, None, 2), train=3, good=2, defective=2, masks=2)
    bad = ClassCheck("nut", train=1, problems=[f"problem {k}" for k in range(SHOWN + 2)])
    title, bolt, nut, *problems, more, verdict = describe([good, bad])
    assert title.split() == ["class", "train", "test", "good", "defective", "masks"]
    assert bolt.split() == ["bolt", "3/3", "2", "2/2", "2", "complete"]
    assert nut.split() == ["nut", "1", "0", "0", "0", "12", "problems"]
    assert problems == [f"nut: problem {k}" for k in range(SHOWN)]
    assert more == "nut: and 2 more"
    assert verdict == "8 images of 2 classes: 1 with problems"
    assert list(describe([good]))[-1] == "7 images of 1 class: complete"


def test_the_real_classes_are_checked_within_seconds(realstream: Path) -> None:
    start = time.perf_counter()
    found = check(realstream, classes=["magnetic_tile", "screw"])
    assert [one.problems for one in found.values()] == [[], []]
    assert (found["screw"].train, found["screw"].masks) == (320, 119)
    assert time.perf_counter() - start < 10
