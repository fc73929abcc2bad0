"""Rows on reading: features from the cache against the disk's rate, images decoded in threads."""

import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from benchmarks.row import Found, Row
from benchmarks.setting import Setting
from benchmarks.timing import alternating, in_ms, ratio
from benchmarks.training import features_of, prepared
from moleflow.extractors.cache import FeatureStore

BATCH = 8


def forgotten(files: Sequence[Path]) -> None:
    """Let the system drop the files from memory."""
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cache_read_share(setting: Setting) -> Found:
    """Rate of features read in batches over that of reading as many bytes from one file, both from the disk.

    Either way a batch's bytes come at a time and are let go before the next, as whoever learns from them does.
    """
    model = setting.bare(setting.resolved("--preset", "realstream"))
    folder, whole = setting.folder / "read", setting.folder / "whole"
    features = prepared(features_of(setting, model, 32 if setting.quick else 200, folder))
    features.batch_size = BATCH
    files = sorted(folder.rglob("*.npy"))
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    os.sync()
    piece = BATCH * whole.stat().st_size // len(files)
    cached = lambda: exhausted(features.batches())
    ways = {"one file": lambda: in_pieces(whole, piece), "cache": cached, "cache in memory": cached}
    before = {"one file": lambda: forgotten([whole]), "cache": lambda: forgotten(files)}
    times = alternating(ways, setting.rounds, before=before)
    rate = whole.stat().st_size / 1e6 / min(times["one file"])
    return Found(ratio(times, "one file", "cache"), f"{in_ms(times)}; the disk gives {rate:.0f} MB/s")


def in_pieces(file: Path, size: int) -> None:
    """Read all of a file, that many bytes at a time."""
    with file.open("rb", buffering=0) as opened:
        exhausted(iter(lambda: opened.read(size), b""))


def exhausted(items: Iterable[object]) -> None:
    """Take all items and keep none."""
    deque(items, maxlen=0)


def decoding_gain(setting: Setting) -> Found:
    """Time of decoding images in one thread over that in two."""
    model = setting.bare(setting.resolved("--preset", "realstream"))
    samples = setting.samples(32 if setting.quick else 64)
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
