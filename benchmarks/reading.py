"""Rows on reading: features from the cache against the disk's rate, images decoded in threads."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio
from benchmarks.training import features_of, prepared
from moleflow.extractors.cache import FeatureStore


def from_disk(files: Sequence[Path], read: Callable[[], object]) -> Callable[[], object]:
    """``read`` after the system has dropped the files from memory; dropping takes next to no time."""

    def run() -> object:
        for file in files:
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return read()

    return run


def cache_read_share(setting: Setting) -> Found:
    """Rate of features read for a step over that of reading as many bytes from one file, both from the disk."""
    model = setting.bare(setting.resolved("--preset", "realstream"))
    folder, whole = setting.folder / "read", setting.folder / "whole"
    images = prepared(features_of(setting, model, 64 if setting.quick else 200, folder)).samples
    files = sorted(folder.rglob("*.npy"))
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    os.sync()
    store = FeatureStore(model.extractor, "squash", folder, device=setting.device)
    store.prepare(images)
    steps = [images[start : start + 8] for start in range(0, len(images), 8)]
    ways = {
        "one file": from_disk([whole], whole.read_bytes),
        "cache": from_disk(files, lambda: [store.features(step) for step in steps]),
        "cache in memory": lambda: [store.features(step) for step in steps],
    }
    times = alternating(ways, setting.rounds)
    rate = whole.stat().st_size / 1e6 / min(times["one file"])
    return Found(ratio(times, "one file", "cache"), f"{in_ms(times)}; the disk gives {rate:.0f} MB/s")


def decoding_gain(setting: Setting) -> Found:
    """Time of decoding images in one thread over that in two."""
    model, samples = setting.bare(setting.resolved("--preset", "realstream")), setting.samples(64)
    store = FeatureStore(model.extractor, "squash", None, num_workers=2)
    before = torch.get_num_threads()

    def decode(threads: int) -> None:
        torch.set_num_threads(threads)
        store.prepare(samples)

    times = alternating({"one": lambda: decode(1), "two": lambda: decode(2)}, setting.rounds)
    torch.set_num_threads(before)
    return Found(ratio(times, "one", "two"), f"{len(samples)} images: {in_ms(times)}")


ROWS = {
    "cache_read_share": Row("features from the cache over one file of their size, from the disk", "≥", 0.8,
                            cache_read_share),
    "decoding_gain": Row("decoding images in one thread over two", "≥", None, decoding_gain),
}  # fmt: skip
