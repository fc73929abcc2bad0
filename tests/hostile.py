"""Files that nobody should have put among the images, by name; each maker leaves one at a path."""

import os
import signal
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Stop whoever waits for longer, for a pipe that nobody writes to for instance."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still waiting after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


Maker = Callable[[Path], object]


def pixels(side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


def truncated(path: Path) -> None:
    pixels().save(path, format="jpeg")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def huge(path: Path) -> None:
    """A whole PNG of 20 000 x 20 000 black pixels, of one bit each: 49 kB."""
    path.write_bytes(huge_png())


@cache
def huge_png(side: int = 20_000) -> bytes:
    """What ``huge`` writes: each row is its filter's byte and the pixels, eight a byte."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes((1 + side // 8) * side))), (b"IEND", b"")]
    framed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def as_nobody(act: Callable[[], str]) -> str:
    """What a function returns in a process of its own without any rights; the error where it fails."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        told = ""
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            told = act()
        except BaseException as error:
            told = f"failed: {error!r}"
        finally:
            os.write(write, told.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(child, 0)
    return told


def listening(path: Path) -> None:
    """A socket; its own path may be too long for one, so it is made beside and moved."""
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(f"/proc/self/fd/{here}/s")
        (path.parent / "s").rename(path)
    finally:
        os.close(here)


BAD: dict[str, tuple[Maker, str]] = {
    "truncated.jpg": (truncated, "truncated or damaged"),
    "zero.png": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text.png": (lambda path: path.write_bytes(b"no image"), "no image format"),
    "moving.png": (lambda path: pixels().save(path, format="gif"), "no image format"),
    "huge.png": (huge, "decompression bomb"),
    "point.png": (lambda path: Image.new("RGB", (1, 1)).save(path), "1x1 pixels"),
    "pipe.png": (os.mkfifo, "a named pipe"),
    "socket.png": (listening, "a socket"),
    "device.png": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "loop.png": (lambda path: path.symlink_to(path.name), "symbolic links"),
    "dangling.png": (lambda path: path.symlink_to("nowhere"), "does not exist"),
    "new\nline.png": (truncated, "truncated or damaged"),
    "no\udcfftext.png": (truncated, "truncated or damaged"),
}
"""Name -> what makes it, and a piece of the reason that is told."""

GOOD: dict[str, Maker] = {
    "with space.png": lambda path: pixels().save(path),
    "größe→✓.png": lambda path: pixels().save(path),
    "a..b.png": lambda path: pixels().save(path),
    "two\nlines.png": lambda path: pixels().save(path),
    "raw\udcfebyte.png": lambda path: pixels().save(path),
    "png inside.jpg": lambda path: pixels().save(path, format="png"),
    "cmyk.jpg": lambda path: pixels().convert("CMYK").save(path),
    "constant.png": lambda path: Image.new("RGB", (64, 64), (9, 9, 9)).save(path),
    "film.webp": lambda path: pixels().save(path, save_all=True, append_images=[pixels(65).resize((64, 64))]),
    "deep.png": lambda path: Image.fromarray(np.full((64, 64), 40_000, dtype=np.uint16)).save(path),
    "glass.png": lambda path: pixels().convert("RGBA").save(path),
}
"""Strange, and still images."""


def put(folder: Path, makers: dict[str, Maker]) -> list[Path]:
    """Make all of them in a folder."""
    for name, make in makers.items():
        make(folder / name)
    return [folder / name for name in makers]


def put_bad(folder: Path) -> list[Path]:
    """All of ``BAD`` in a folder."""
    return put(folder, {name: make for name, (make, _) in BAD.items()})
