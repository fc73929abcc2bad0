"""Shifted domains on disk: layout, map, reading back, resume after a kill, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from layouts import image, mask, product
from PIL import Image

import moleflow.data.shift.write as writing
from moleflow.data.datasets import open_dataset
from moleflow.data.folder import FolderDataset
from moleflow.data.images import BadImage, native_image, native_mask
from moleflow.data.sample import Sample
from moleflow.data.shift.domain import DomainShift, replay
from moleflow.data.shift.write import write_shifted
from moleflow.data.shifted import ShiftedDataset
from moleflow.data.splits import PARTS, Split, make_split
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import sha256_of

SHIFT = DomainShift("moderate")


@pytest.fixture
def source(tmp_path: Path) -> FolderDataset:
    """One class: three training images, two good test images, two dents and a crack without mask."""
    image(product(tmp_path / "data") / "test/crack/000.png")
    return FolderDataset(tmp_path / "data")


def write(source: FolderDataset, root: Path, shift: DomainShift = SHIFT, seed: int = 42) -> Path:
    return write_shifted(source.root, [make_split(source, name) for name in source.classes], shift, root, seed)


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_files_lie_where_the_protocol_says(source, tmp_path):
    found = list(files(write(source, tmp_path / "out")))
    assert "shift_map.json" in found
    assert not [name for name in found if name.startswith("bolt/.")]
    images = [name for name in found if "/images/" in name]
    assert len(images) == 8
    assert sum(name.startswith("bolt/train/images/good_00") for name in images) == 2
    assert all(name.endswith("_shifted.png") for name in images)
    assert len([name for name in found if "/masks/dent_00" in name]) == 2
    assert len(found) == 1 + 8 + 2


def test_the_map_says_how_every_image_was_made(source, tmp_path):
    root = write(source, tmp_path / "out")
    book = json.loads((root / "shift_map.json").read_text())
    assert book["settings"]["severity"] == "moderate"
    assert book["settings"]["seed"] == 42
    entries = book["classes"]["bolt"]["images"]
    assert sorted(entry["seed"] for entry in entries.values()) == list(range(42, 50))
    for place, entry in entries.items():
        assert sha256_of(root / "bolt" / place) == entry["sha256"]
        source_mask = tmp_path / f"data/bolt/ground_truth/dent/{Path(entry['source']).stem}_mask.png"
        truth = native_mask(source_mask) if entry["mask"] else None
        made = replay(native_image(source.root / entry["source"]), truth, entry["parameters"])
        assert np.array_equal(native_image(root / "bolt" / place), made.image)
        if entry["mask"]:
            assert np.array_equal(native_mask(root / "bolt" / entry["mask"]), made.mask)
            assert set(np.unique(np.asarray(Image.open(root / "bolt" / entry["mask"])))) == {0, 255}
            assert sha256_of(root / "bolt" / entry["mask"]) == entry["mask_sha256"]


def test_the_domain_is_read_as_a_dataset_and_as_the_split_it_was_made_from(source, tmp_path):
    root = write(source, tmp_path / "out")
    dataset, split = open_dataset("shifted", root), make_split(source, "bolt")
    assert dataset.classes == ("bolt",)
    assert isinstance(dataset, ShiftedDataset)
    moved = dataset.split("bolt")
    for part in PARTS:
        assert [
            (s.label, s.defect, s.mask is None) for s in sorted(moved.part(part), key=lambda s: s.path.name)
        ] == sorted([(s.label, s.defect, s.mask is None) for s in split.part(part)], key=lambda row: row[1])
    assert dataset.train("bolt") == list(moved.train)
    assert dataset.test("bolt") == list(moved.test)
    assert all(sample.mask is None or sample.mask.is_file() for part in PARTS for sample in moved.part(part))


def test_the_same_call_gives_the_same_bytes_and_writes_nothing_twice(source, tmp_path):
    one, other = write(source, tmp_path / "one"), write(source, tmp_path / "two")
    assert files(one) == files(other)
    before = {path: path.stat().st_mtime_ns for path in one.rglob("*.png")}
    write(source, one)
    assert {path: path.stat().st_mtime_ns for path in one.rglob("*.png")} == before
    assert files(one) == files(other)


def test_lost_and_damaged_images_are_made_again(source, tmp_path):
    root = write(source, tmp_path / "out")
    whole = files(root)
    pictures = sorted(root.rglob("*_shifted.png"))
    pictures[0].unlink()
    pictures[-1].write_bytes(b"damaged")
    assert files(write(source, root)) == whole


@pytest.mark.parametrize("done", [0, 1, 4, 7])
def test_an_interrupted_call_goes_on_where_it_stopped(source, tmp_path, monkeypatch, done):
    whole, root = files(write(source, tmp_path / "whole")), tmp_path / "out"
    _interrupt_after(done, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(source, root)
    with pytest.raises(UsageError, match="no finished class"):
        open_dataset("shifted", root)
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*_shifted.png")}
    assert sum("/images/" in path.as_posix() for path in kept) == done
    monkeypatch.undo()
    assert files(write(source, root)) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def _interrupt_after(done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written, make = [], writing._write

    def interrupted(*arguments):
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(None)
        return make(*arguments)

    monkeypatch.setattr(writing, "_write", interrupted)


def test_a_line_of_the_journal_that_was_cut_is_no_harm(source, tmp_path, monkeypatch):
    whole, root = files(write(source, tmp_path / "whole")), tmp_path / "out"
    _interrupt_after(4, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        write(source, root)
    monkeypatch.undo()
    journal = root / "bolt" / writing.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-9])
    assert files(write(source, root)) == whole


def test_killed_without_warning_it_goes_on(tmp_path):
    for index in range(60):
        image(tmp_path / f"data/bolt/train/good/{index:03}.png")
    source = FolderDataset(tmp_path / "data")
    code = (
        "import sys, time; from pathlib import Path; import moleflow.data.shift.write as w\n"
        "from moleflow.data.folder import FolderDataset; from moleflow.data.splits import make_split\n"
        "make, w._save = w._save, lambda *a: (time.sleep(0.02), make(*a))[1]\n"
        "d = FolderDataset(Path(sys.argv[1])); s = w.DomainShift('moderate')\n"
        "w.write_shifted(d.root, [make_split(d, 'bolt')], s, Path(sys.argv[2]))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(source.root), str(tmp_path / "out")], stderr=-3)
    while len(list((tmp_path / "out").rglob("*_shifted.png"))) < 5 and child.poll() is None:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*_shifted.png")}
    assert 5 <= len(kept) < 60
    found = files(write(source, tmp_path / "out"))
    assert found == files(write(source, tmp_path / "whole"))
    assert sum(path.stat().st_mtime_ns != time_ for path, time_ in kept.items()) <= 1, "only the one not yet listed"


def test_other_settings_are_refused(source, tmp_path):
    root = write(source, tmp_path / "out")
    before = files(root)
    for shift, seed in ((DomainShift("mild"), 42), (SHIFT, 7), (DomainShift("moderate", ("blur",)), 42)):
        with pytest.raises(UsageError, match="other settings"):
            write(source, root, shift, seed)
    assert files(root) == before


def test_other_images_are_refused(source, tmp_path):
    root = write(source, tmp_path / "out")
    image(source.root / "bolt/test/good/099.png")
    with pytest.raises(UsageError, match="other images of 'bolt'"):
        write(source, root)


def test_a_folder_of_something_else_is_refused(source, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        write(source, tmp_path / "thesis")
    assert files(tmp_path / "thesis") == {"chapter.txt": b"years of work"}


def test_classes_can_be_added_and_do_not_change_one_another(source, tmp_path):
    alone = files(write(source, tmp_path / "alone"))
    product(source.root, "nut")
    both = files(write(FolderDataset(source.root), tmp_path / "alone"))
    assert open_dataset("shifted", tmp_path / "alone").classes == ("bolt", "nut")
    assert {name: data for name, data in both.items() if name.startswith("bolt")} == {
        name: data for name, data in alone.items() if name.startswith("bolt")
    }


def test_two_images_of_one_name_are_refused(tmp_path):
    one, other = image(tmp_path / "bolt/000.png"), image(tmp_path / "bolt/000.jpg")
    split = Split("bolt", (Sample(one, "bolt", 0, "good", None), Sample(other, "bolt", 0, "good", None)), (), ())
    with pytest.raises(UsageError, match="both become"):
        write_shifted(tmp_path, [split], SHIFT, tmp_path / "out")


def test_a_mask_of_another_size_is_named(source, tmp_path):
    Image.new("L", (3, 3), 255).save(source.root / "bolt/ground_truth/dent/000_mask.png")
    with pytest.raises(BadImage, match="000_mask"):
        write(source, tmp_path / "out")


def test_an_empty_mask_stays_empty(source, tmp_path):
    mask(source.root / "bolt/ground_truth/dent/000_mask.png", value=0)
    root = write(source, tmp_path / "out")
    assert not native_mask(next(root.rglob("masks/dent_000_shifted.png"))).any()


def test_folders_without_a_whole_map_are_one_sentence(source, tmp_path):
    with pytest.raises(UsageError, match=r"expected shift_map\.json"):
        open_dataset("shifted", tmp_path)
    (tmp_path / "shift_map.json").write_text("[]")
    with pytest.raises(MoleflowError, match="no map of a shifted domain"):
        open_dataset("shifted", tmp_path)
    root = write(source, tmp_path / "out")
    with pytest.raises(UsageError, match="did you mean 'bolt'"):
        open_dataset("shifted", root).train("bold")
