"""E4: what a feature cache holds is told, and it is made smaller without taking anything that is not its own."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from moleflow.data.sample import Sample
from moleflow.extractors import upkeep
from moleflow.extractors.cache import FeatureStore
from moleflow.extractors.cnn_extractor import CnnExtractor
from moleflow.extractors.upkeep import DAY, as_table, kept_folders, remove, superfluous, told
from moleflow.utils.errors import MoleflowError, UsageError

FIRST, SECOND = "0123456789abcdef", "fedcba9876543210"


def keep(cache: Path, number: int, days: float, folder: str = FIRST, size: int = 1000) -> Path:
    """A file as the cache writes it, last used so many days ago."""
    path = cache / folder / f"{number:064x}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def left(cache: Path) -> list[str]:
    return sorted(str(int(path.stem, 16)) for path in cache.rglob("*.npy"))


def prune(cache: Path, unused_days: float | None = None, max_gb: float | None = None) -> None:
    remove(cache, superfluous(kept_folders(cache), unused_days, max_gb))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    for number, days in enumerate((0, 5, 20, 40)):
        keep(tmp_path, number, days, FIRST if number < 3 else SECOND)
    return tmp_path


@pytest.mark.parametrize(("limits", "stays"), [
    ({"unused_days": 30}, ["0", "1", "2"]),
    ({"unused_days": 10}, ["0", "1"]),
    ({"max_gb": 3e-6}, ["0", "1", "2"]),
    ({"max_gb": 2.999e-6}, ["0", "1"]),
    ({"max_gb": 1.0}, ["0", "1", "2", "3"]),
    ({"max_gb": 0}, []),
    ({"unused_days": 10, "max_gb": 1e-6}, ["0"]),
    ({"unused_days": 10, "max_gb": 1.0}, ["0", "1"]),
])  # fmt: skip
def test_what_was_not_used_for_longest_goes(cache: Path, limits: dict[str, float], stays: list[str]) -> None:
    prune(cache, **limits)
    assert left(cache) == stays


def test_a_file_that_was_read_counts_as_used(cache: Path) -> None:
    old = keep(cache, 9, 40)
    os.utime(old, (time.time(), old.stat().st_mtime))
    prune(cache, unused_days=10)
    assert left(cache) == ["0", "1", "9"]


def test_looking_at_a_cache_is_no_use_of_it(tmp_path: Path) -> None:
    np.save(keep(tmp_path, 2, 0), np.zeros((4, 5, 6), dtype=np.float16))
    path = keep(tmp_path, 3, 40, SECOND)
    np.save(path, np.zeros((4, 5, 6), dtype=np.float16))
    os.utime(path, (time.time() - 40 * DAY,) * 2)
    assert "4×5×6" in as_table(kept_folders(tmp_path))
    prune(tmp_path, unused_days=30)
    assert left(tmp_path) == ["2"]


def test_folders_stay_for_those_who_are_about_to_write(cache: Path) -> None:
    prune(cache, unused_days=30)
    assert sorted(path.name for path in cache.iterdir()) == [FIRST, SECOND]
    assert [folder.path.name for folder in kept_folders(cache)] == [FIRST]


def test_only_what_a_cache_writes_goes(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    kept_elsewhere = keep(elsewhere, 7, 99)
    mine = [cache / FIRST / "notes.npy", cache / "photos" / f"{8:064x}.npy", cache / FIRST / ".my-notes.tmp"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, (time.time() - 99 * DAY,) * 2)
    begun = cache / FIRST / ".1-0123456789abcdef.tmp"
    begun.mkdir()
    os.utime(begun, (time.time() - 99 * DAY,) * 2)
    (cache / ("0" * 16)).symlink_to(elsewhere / FIRST, target_is_directory=True)
    link = cache / FIRST / f"{6:064x}.npy"
    link.symlink_to(kept_elsewhere)
    prune(cache, max_gb=0)
    assert kept_elsewhere.exists()
    assert link.is_symlink()
    assert all(path.read_bytes() == b"mine" for path in mine)
    assert begun.is_dir()
    assert sorted(path.name for path in cache.iterdir()) == ["0" * 16, FIRST, SECOND, "photos"]


def test_what_killed_writers_left_goes_after_a_day(cache: Path) -> None:
    new, old = (cache / FIRST / f".1-{number:016x}.tmp" for number in (1, 2))
    for path, days in ((new, 0.5), (old, 2)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - days * DAY,) * 2)
    prune(cache, unused_days=99)
    assert new.exists()
    assert not old.exists()


def test_the_table_tells_each_extractor_the_last_used_first(tmp_path: Path) -> None:
    keep(tmp_path, 1, 40, SECOND, size=2_000_000)
    np.save(keep(tmp_path, 2, 0), np.zeros((4, 5, 6), dtype=np.float16))
    lines = as_table(kept_folders(tmp_path)).splitlines()
    assert [line.split() for line in lines] == [
        ["extractor", "features", "images", "MB", "last", "used"],
        [FIRST, "4×5×6", "1", "0.0", time.strftime("%Y-%m-%d")],
        [SECOND, "?", "1", "2.0", time.strftime("%Y-%m-%d", time.localtime(time.time() - 40 * DAY))],
        ["all", "2", "2.0"],
    ]


def test_an_empty_cache_has_a_table(tmp_path: Path) -> None:
    (tmp_path / FIRST).mkdir()
    assert as_table(kept_folders(tmp_path)).splitlines()[1].split() == ["all", "0", "0.0"]


def test_files_in_words(cache: Path) -> None:
    files = superfluous(kept_folders(cache), unused_days=30, max_gb=None)
    assert told(files) == "1 file of features, 0.0 MB"
    assert told([]) == "0 files of features, 0.0 MB"


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no folder .*absent: give that of a feature cache with --dir"):
        kept_folders(tmp_path / "absent")


def test_what_cannot_be_removed_is_named_and_the_rest_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if int(path.stem, 16) in (2, 3):
            raise PermissionError(13, "Permission denied", str(path))
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(MoleflowError, match=r"cannot remove .*2\.npy: Permission denied \(and 1 more\); what else"):
        prune(cache, unused_days=3)
    assert left(cache) == ["0", "2", "3"]
    with pytest.raises(MoleflowError, match=r"cannot remove .*3\.npy: Permission denied; what else was to go is gone"):
        prune(cache, unused_days=30)


def test_a_cache_that_may_not_be_read_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(upkeep.os, "scandir", refuse)
    with pytest.raises(MoleflowError, match=r"cannot read .*: Permission denied"):
        kept_folders(cache)


def test_what_vanishes_meanwhile_is_no_trouble(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer gives its file a name, and another call removes what this one has listed."""
    begun = cache / FIRST / f".1-{1:016x}.tmp"
    begun.write_bytes(b"half")
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        if path == begun:
            begun.rename(cache / FIRST / f"{9:064x}.npy")
        return real(path)

    monkeypatch.setattr(Path, "lstat", lstat)
    files = superfluous(kept_folders(cache), unused_days=10, max_gb=None)
    files[0].path.unlink()
    remove(cache, files)
    assert left(cache) == ["0", "1", "9"]


def test_a_store_that_is_in_use_computes_again_what_was_removed(tmp_path: Path, random_weights) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    sample = Sample(tmp_path / "0.png", "thing", 0, "good", None)
    extractor = CnnExtractor("test_resnet", ("layer1",), 64, 64, None, random_weights("test_resnet"))
    store = FeatureStore(extractor, "squash", tmp_path / "cache")
    store.prepare([sample])
    before = store.features([sample])
    assert store.backbone_calls == 1
    assert [len(folder.files) for folder in kept_folders(tmp_path / "cache")] == [1]
    assert kept_folders(tmp_path / "cache")[0].shape == "×".join(map(str, before.shape[1:]))
    prune(tmp_path / "cache", max_gb=0)
    assert torch.equal(store.features([sample]), before)
    assert store.backbone_calls == 2
