"""The MVTec layout in miniature: what counts as a class, an image, a mask, and what is an error."""

from pathlib import Path

import pytest
from PIL import Image

from moleflow.data.datasets import DATASETS, open_dataset
from moleflow.data.folder import FolderDataset
from moleflow.data.mvtec import MVTEC_CLASSES, MVTecDataset
from moleflow.utils.errors import UsageError


def image(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (10, 20, 30)).save(path)
    return path


def product(root: Path, name: str = "bolt") -> Path:
    """A class with two training images, two good test images and two defects with masks."""
    for split in ("train/good", "test/good", "test/dent"):
        for stem in ("000", "001"):
            image(root / name / split / f"{stem}.png")
    for stem in ("000", "001"):
        image(root / name / "ground_truth/dent" / f"{stem}_mask.png")
    return root / name


def test_reads_images_labels_and_masks_sorted_by_relative_path(tmp_path: Path) -> None:
    folder = product(tmp_path)
    dataset = open_dataset("folder", tmp_path)
    assert [s.path.name for s in dataset.train("bolt")] == ["000.png", "001.png"]
    assert {(s.label, s.defect, s.mask) for s in dataset.train("bolt")} == {(0, "good", None)}
    test = dataset.test("bolt")
    assert [s.path.relative_to(folder / "test").as_posix() for s in test] == [
        "dent/000.png", "dent/001.png", "good/000.png", "good/001.png",
    ]  # fmt: skip
    assert [(s.label, s.defect) for s in test] == [(1, "dent")] * 2 + [(0, "good")] * 2
    truth = folder / "ground_truth/dent"
    assert [s.mask for s in test] == [truth / "000_mask.png", truth / "001_mask.png", None, None]
    assert {s.class_name for s in test} == {"bolt"}


def test_images_of_any_known_extension_count_and_nothing_else(tmp_path: Path) -> None:
    good = product(tmp_path) / "train/good"
    names = ["a.PNG", "b.jpg", "c.JPEG", "d.bmp", "e.tif", "f.TIFF", "g.webp"]
    for name in names:
        image(good / name)
    for name in ("notes.txt", "Thumbs.db", ".hidden.png", "._000.png"):
        (good / name).write_bytes(b"x")
    (good / "folder.png").mkdir()
    found = [s.path.name for s in FolderDataset(tmp_path).train("bolt")]
    assert found == sorted(["000.png", "001.png", *names])


def test_mask_may_be_named_like_its_image_or_have_another_extension(tmp_path: Path) -> None:
    folder = product(tmp_path)
    image(folder / "test/cut/005.jpg")
    image(folder / "ground_truth/cut/005.png")
    image(folder / "test/cut/006.png")
    image(folder / "ground_truth/cut/006_mask.BMP")
    masks = {s.path.name: s.mask for s in FolderDataset(tmp_path).test("bolt") if s.defect == "cut"}
    truth = folder / "ground_truth/cut"
    assert masks == {"005.jpg": truth / "005.png", "006.png": truth / "006_mask.BMP"}


def test_defect_type_without_ground_truth_folder_has_no_masks(tmp_path: Path) -> None:
    image(product(tmp_path) / "test/odd/000.png")
    odd = [s for s in FolderDataset(tmp_path).test("bolt") if s.defect == "odd"]
    assert [(s.label, s.mask) for s in odd] == [(1, None)]


def test_missing_mask_names_image_and_expected_mask(tmp_path: Path) -> None:
    folder = product(tmp_path)
    (folder / "ground_truth/dent/001_mask.png").unlink()
    with pytest.raises(UsageError) as caught:
        FolderDataset(tmp_path).test("bolt")
    assert str(folder / "test/dent/001.png") in str(caught.value)
    assert str(folder / "ground_truth/dent/001_mask.png") in str(caught.value)


@pytest.mark.parametrize("kept", ["good", "dent", None])
def test_test_split_may_lack_good_images_or_defects(tmp_path: Path, kept: str | None) -> None:
    folder = product(tmp_path)
    for kind in {"good", "dent"} - {kept}:
        (folder / "test" / kind).rename(tmp_path / f"away_{kind}")
    assert {s.defect for s in FolderDataset(tmp_path).test("bolt")} == ({kept} if kept else set())


def test_class_is_a_folder_with_train_good(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        product(tmp_path, name)
    image(tmp_path / "docs/figure.png")
    image(tmp_path / "half/test/good/000.png")
    dataset = FolderDataset(tmp_path)
    assert dataset.classes == ("a", "b")
    with pytest.raises(UsageError, match=r"no class 'c' .* found a, b$"):
        dataset.train("c")
    with pytest.raises(UsageError, match=r"half/train/good is missing"):
        dataset.test("half")


def test_empty_training_folder_is_an_error(tmp_path: Path) -> None:
    good = product(tmp_path) / "train/good"
    for path in good.iterdir():
        path.unlink()
    (good / "readme.txt").write_text("soon")
    with pytest.raises(UsageError, match=r"train/good holds no image.*'bolt'.*png"):
        FolderDataset(tmp_path).train("bolt")


def test_mvtec_keeps_the_official_order_and_ignores_the_rest(tmp_path: Path) -> None:
    assert len(MVTEC_CLASSES) == 15
    for name in ("zipper", "bottle", "screw", "my_own"):
        product(tmp_path, name)
    dataset = open_dataset("mvtec", tmp_path)
    assert dataset.name == "mvtec"
    assert dataset.classes == ("bottle", "screw", "zipper")
    with pytest.raises(UsageError, match="'my_own'"):
        dataset.train("my_own")


def test_mvtec_without_an_official_class_lists_them(tmp_path: Path) -> None:
    product(tmp_path, "my_own")
    with pytest.raises(UsageError, match=r"'mvtec'.*train/good.*bottle.*zipper; found my_own/$"):
        MVTecDataset(tmp_path)


def test_unknown_dataset_lists_the_known_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'mvtecc'.*demo, mvtec, folder.*did you mean 'mvtec'"):
        open_dataset("mvtecc", tmp_path)


@pytest.mark.parametrize("name", list(DATASETS))
def test_missing_root_names_folder_datasets_and_demo(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        open_dataset(name, tmp_path / "absent")
    for part in (str(tmp_path / "absent"), "--data_path", "demo, mvtec, folder", "`--preset demo`"):
        assert part in str(caught.value)


def test_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        open_dataset("folder", tmp_path / "data.zip")


def test_root_without_classes_shows_layout_and_findings(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"<class>/train/good.*ground_truth.*found an empty folder"):
        open_dataset("folder", tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "list.csv").write_text("a")
    with pytest.raises(UsageError, match=r"found images/, list\.csv$"):
        open_dataset("folder", tmp_path)


def test_root_of_a_single_class_points_one_folder_up(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder above"):
        open_dataset("folder", product(tmp_path))


COUNTS = {
    "commutator": (150, 50, {"defect": (50, 50)}),
    "cookie": (31, 14, {"broken": (32, 32), "broken_nomask": (8, 0)}),
    "magnetic_tile": (220, 60, dict.fromkeys(("blowhole", "break", "crack", "fray", "uneven"), (24, 24))),
    "screw": (
        320, 41,
        {
            "manipulated_front": (24, 24), "scratch_head": (24, 24), "scratch_neck": (25, 25),
            "thread_side": (23, 23), "thread_top": (23, 23),
        },
    ),
    "solar_mono": (200, 60, {"defective": (80, 0)}),
}  # fmt: skip
"""Class -> (train, test good, defect type -> (images, masks)), from the data's own table."""


def test_real_classes_have_their_documented_counts(realstream: Path) -> None:
    dataset = open_dataset("folder", realstream)
    assert dataset.classes == tuple(COUNTS)
    for name, (train, good, defects) in COUNTS.items():
        test = dataset.test(name)
        assert len(dataset.train(name)) == train
        assert sum(s.label == 0 for s in test) == good
        found = {s.defect for s in test if s.label}
        assert found == set(defects)
        for defect in found:
            own = [s for s in test if s.defect == defect]
            assert (len(own), sum(s.mask is not None for s in own)) == defects[defect], (name, defect)
