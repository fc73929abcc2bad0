"""Files that are no images are named on one line, skipped or refused, and never waited for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import BAD, GOOD, as_nobody, patience, put, put_bad
from PIL import Image

from moleflow.data import images
from moleflow.data.check import check_dataset, describe
from moleflow.data.facts import Facts
from moleflow.data.folder import FolderDataset, images_in
from moleflow.data.images import BadImage, check_samples, load_image, load_mask
from moleflow.data.sample import Sample
from moleflow.utils.errors import UsageError
from moleflow.utils.text import shown


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Whoever waits for a pipe is stopped."""
    with patience(60):
        yield


def sample(path: Path) -> Sample:
    return Sample(path, "c", 0, "good", None)


@pytest.mark.parametrize("name", BAD)
def test_each_is_named_on_one_line_with_its_reason(tmp_path: Path, name: str) -> None:
    make, reason = BAD[name]
    make(tmp_path / name)
    for read in (load_image, load_mask):
        with pytest.raises(BadImage) as found:
            read(tmp_path / name, 16, "squash")
        assert reason in str(found.value)
        assert shown(name) in str(found.value)
        assert str(found.value).isprintable()


@pytest.mark.parametrize("name", GOOD)
def test_strange_images_are_read_all_the_same(tmp_path: Path, name: str) -> None:
    GOOD[name](tmp_path / name)
    assert load_image(tmp_path / name, 16, "squash").shape == (16, 16, 3)


def test_all_but_folders_and_hidden_files_are_listed_and_sorted_out(tmp_path: Path) -> None:
    bad, good = put_bad(tmp_path), put(tmp_path, GOOD)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / ".hidden.png").write_bytes(b"")
    samples = [sample(path) for path in images_in(tmp_path)]
    assert {one.path for one in samples} == {*bad, *good}
    usable, skipped = check_samples(samples, "skip")
    # a header says nothing of what follows it, so the truncated ones show when they are decoded
    assert {one.path for one in skipped} == {path for path in bad if BAD[path.name][1] != "truncated or damaged"}
    assert {one.path for one in usable} >= set(good)
    with pytest.raises(BadImage, match="--on_bad_image skip"):
        check_samples(samples, "error")


def test_data_check_names_each_on_a_line_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "bolt" / "train" / "good"
    folder.mkdir(parents=True)
    put(folder, GOOD)
    put_bad(folder)
    (only,) = check_dataset(FolderDataset(tmp_path), Facts())
    assert len(only.problems) == len(BAD)
    for name, (_, reason) in BAD.items():
        assert sum(shown(name) in problem and reason in problem for problem in only.problems) == 1, name
    assert all(line.isprintable() for line in describe([only]))


def test_a_folder_or_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by hand: who runs the tests may be allowed everything."""

    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        with pytest.raises(UsageError, match=r"cannot be listed \(Permission denied\)"):
            images_in(tmp_path)
    GOOD["deep.png"](tmp_path / "a.png")
    monkeypatch.setattr(images, "open_regular", refuse)
    with pytest.raises(BadImage, match="permission to read it is denied"):
        load_image(tmp_path / "a.png", 16, "squash")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, other than the tests' own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_that_may_not_be_read_is_named_and_the_others_are_read(open_folder: Path) -> None:
    """In a process that gave up the rights of root, so that the system really denies."""
    for name in ("a.png", "b.png"):
        GOOD["deep.png"](open_folder / name)
    (open_folder / "a.png").chmod(0)

    def look() -> str:
        good, bad = check_samples([sample(path) for path in images_in(open_folder)], "skip")
        shapes = [load_image(one.path, 16, "squash").shape for one in good]
        return f"{shapes} {[str(one) for one in bad]}"

    told = f"cannot use image {open_folder / 'a.png'}: permission to read it is denied"
    assert as_nobody(look) == f"[(16, 16, 3)] {[told]}"


def test_a_folder_that_may_not_be_listed_is_named(open_folder: Path) -> None:
    (open_folder / "closed").mkdir(mode=0o311)
    try:
        told = as_nobody(lambda: str(images_in(open_folder / "closed")))
    finally:
        (open_folder / "closed").chmod(0o755)
    assert "UsageError" in told
    assert "closed cannot be listed (Permission denied)" in told


@pytest.mark.slow
def test_the_huge_image_is_whole_and_only_its_size_stands_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 MB of memory: what the header keeps us from."""
    BAD["huge.png"][0](tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert images.upright_size(tmp_path / "huge.png") == (20_000, 20_000)
    assert not images.native_mask(tmp_path / "huge.png").any()


def test_memory_that_does_not_suffice_is_the_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GOOD["deep.png"](tmp_path / "a.png")
    monkeypatch.setattr(images, "rotated", lambda *_: bytearray(1 << 62))
    with pytest.raises(BadImage, match="not enough memory"):
        load_image(tmp_path / "a.png", 16, "squash")
