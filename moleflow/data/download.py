"""Public datasets, fetched: resumed where a transfer stopped, checked, unpacked, looked at."""

import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from moleflow.data.datasets import ImageDataset, open_dataset
from moleflow.data.sources import Source
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import sha256_of
from moleflow.utils.progress import progress

CHUNK = 1 << 20
"""Bytes read at once; progress is told in these."""

TIMEOUT = 30.0
"""Seconds without a byte after which a server is taken for silent."""


def download(name: str, source: Source, folder: Path, attempts: int = 3) -> ImageDataset:
    """Fetch a dataset's archive into ``folder``, check it, unpack it to ``folder/<name>``, and open it.

    A dataset that is there already is opened; an archive that is there already is not fetched, only checked. What a
    broken transfer left (``<archive>.part``) is continued.

    Args:
        name: the dataset.
        source: where it is.
        folder: for the archive and the dataset's folder.
        attempts: connections tried before giving up; each continues where the last one broke.

    Raises:
        UsageError: the dataset has no address that a program may fetch; what was unpacked is not in its layout.
        MoleflowError: the server cannot be reached or fails, the archive's checksum is another, or it is damaged.
    """
    root = folder / name
    if root.exists():
        return open_dataset(name, root)
    if source.url is None:
        raise UsageError(f"{name} has no address that a program may fetch: get it from {source.page} into {root}")
    archive = folder / PurePosixPath(urlsplit(source.url).path).name
    folder.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        _fetch_all(name, source.url, archive, attempts)
    _check(archive, source)
    unpack(archive, root)
    return open_dataset(name, root)


def unpack(archive: Path, root: Path) -> None:
    """Unpack a tar (of any compression) or zip archive to ``root``, which appears when all is there.

    A single folder around everything is left out. Members that would land elsewhere are refused.

    Raises:
        MoleflowError: the archive is damaged, of another kind, or unsafe.
    """
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as waiting:
        place = Path(waiting, "content")
        place.mkdir()
        try:
            _extract(archive, place)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OSError) as error:
            raise MoleflowError(f"cannot unpack {archive}: {error}; delete it and fetch it again") from error
        inside = [path for path in place.iterdir() if not path.name.startswith((".", "__MACOSX"))]
        (inside[0] if len(inside) == 1 and _wraps(inside[0]) else place).rename(root)


def _wraps(path: Path) -> bool:
    """Whether a lone entry is a folder around the classes, and no class itself."""
    return path.is_dir() and not (path / "train").is_dir()


def _extract(archive: Path, place: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                _refuse_outside(member, place)
            opened.extractall(place)
        return
    with tarfile.open(archive) as opened_tar:
        if hasattr(tarfile, "data_filter"):
            opened_tar.extractall(place, filter="data")
        else:
            _extract_plain(opened_tar, place)


def _extract_plain(archive: tarfile.TarFile, place: Path) -> None:
    """What the filter of Python 3.11.4 does, for older ones: files and folders inside, and nothing else."""
    for member in archive.getmembers():
        _refuse_outside(member.name, place)
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"its member {member.name!r} is neither a file nor a folder")
        member.mode = 0o755 if member.isdir() else 0o644
    archive.extractall(place)


def _refuse_outside(member: str, place: Path) -> None:
    if not (place / member).resolve().is_relative_to(place.resolve()):
        raise ValueError(f"its member {member!r} points outside")


def _fetch_all(name: str, url: str, archive: Path, attempts: int) -> None:
    """Fetch an archive; it takes its name when it is whole."""
    part = archive.with_name(archive.name + ".part")
    for attempt in range(1, attempts + 1):
        try:
            _fetch(name, url, part)
            part.rename(archive)
            return
        except urllib.error.HTTPError as error:
            raise MoleflowError(f"{url} answers {error.code} {error.reason}: {_by_hand(name, archive)}") from error
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == attempts:
                reason = getattr(error, "reason", None) or error
                kept = f"; {part} is kept and will be continued" if part.exists() else ""
                raise MoleflowError(f"cannot fetch {url} ({reason}){kept}: {_by_hand(name, archive)}") from error


def _by_hand(name: str, archive: Path) -> str:
    return (
        f"run the command again when the network is there, or fetch the file on another machine, put it at {archive} "
        f"and run the command again: it will be checked and unpacked to {archive.parent / name}"
    )


def _fetch(name: str, url: str, part: Path) -> None:
    """Fetch what is still lacking of a file."""
    begun = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and begun:  # nothing lies beyond: the file was whole
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        expected = int(answer.headers.get("Content-Length") or 0)
        total = -(-expected // CHUNK)
        got = 0
        for chunk in progress(_chunks(answer), total, f"{name} {part.name.removesuffix('.part')}", "MiB"):
            file.write(chunk)
            got += len(chunk)
    if got < expected:
        raise ConnectionError(f"the connection broke after {begun + got} bytes")


def _chunks(answer: HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk


def _check(archive: Path, source: Source) -> None:
    found = sha256_of(archive)
    if source.sha256 is not None and found != source.sha256:
        raise MoleflowError(
            f"{archive} is not the published file: expected SHA-256 {source.sha256}, found {found}; "
            "delete it and run the command again"
        )
