"""The downloader against a server on this machine: resume, checksums, archives, and what it says offline."""

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from layouts import btad, image, product

import moleflow.data.download as downloading
from moleflow.data.datasets import DATASETS
from moleflow.data.download import download, unpack
from moleflow.data.sources import SOURCES, Source
from moleflow.utils.errors import MoleflowError, UsageError


class Server(ThreadingHTTPServer):
    """Serves one file under every name.

    Attributes:
        data: the file.
        ranges: whether a part may be asked for.
        breaks: connections that end after half of what was asked for.
        asked: the Range header of every request.
    """

    data, ranges, breaks = b"", True, 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/archive.tar"

    def serve(self, data: bytes, **settings: object) -> Source:
        self.data = data
        vars(self).update(settings)
        return Source("page", "licence", self.url, hashlib.sha256(data).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start and start >= len(self.server.data):
            self.send_error(416)
            return
        rest = self.server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        broken, self.server.breaks = self.server.breaks > 0, self.server.breaks - 1
        self.wfile.write(rest[: len(rest) // 2] if broken else rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def packed(folder: Path, name: str, mode: str = "w") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        archive.add(folder, name)
    return data.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    product(tmp_path / "made", "bottle")
    return packed(tmp_path / "made", ".", "w:xz")


def test_a_dataset_is_fetched_checked_unpacked_and_opened(server, data, tmp_path):
    dataset = download("mvtec", server.serve(data), tmp_path / "out")
    assert dataset.classes == ("bottle",)
    assert len(dataset.train("bottle")) == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["archive.tar", "mvtec"]


def test_what_is_there_is_not_fetched_again(server, data, tmp_path):
    source = server.serve(data)
    for _ in range(2):
        download("mvtec", source, tmp_path / "out")
    assert server.asked == [None]


def test_a_broken_transfer_goes_on_where_it_broke(server, data, tmp_path):
    assert download("mvtec", server.serve(data, breaks=2), tmp_path / "out").classes == ("bottle",)
    half = len(data) // 2
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + (len(data) - half) // 2}-"]


def test_a_later_call_continues_what_an_earlier_one_left(server, data, tmp_path):
    source = server.serve(data, breaks=1)
    with pytest.raises(MoleflowError, match=r"archive\.tar\.part is kept and will be continued"):
        download("mvtec", source, tmp_path / "out", attempts=1)
    assert not (tmp_path / "out/mvtec").exists()
    download("mvtec", source, tmp_path / "out")
    assert server.asked == [None, f"bytes={len(data) // 2}-"]


def test_a_server_that_cannot_continue_begins_anew(server, data, tmp_path):
    source = server.serve(data, ranges=False)
    (tmp_path / "archive.tar.part").write_bytes(data[:100])
    assert download("mvtec", source, tmp_path).classes == ("bottle",)
    assert server.asked == ["bytes=100-"]


def test_a_part_that_is_the_whole_is_taken(server, data, tmp_path):
    (tmp_path / "archive.tar.part").write_bytes(data)
    assert download("mvtec", server.serve(data), tmp_path).classes == ("bottle",)


def test_another_file_is_refused_and_never_unpacked(server, data, tmp_path):
    server.serve(data)
    with pytest.raises(MoleflowError, match=r"expected SHA-256 00, found [0-9a-f]{64}"):
        download("mvtec", Source("page", "licence", server.url, "00"), tmp_path)
    assert not (tmp_path / "mvtec").exists()


def test_offline_it_says_how_to_go_on_by_hand_and_that_works(server, data, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    source = Source("page", "licence", f"http://127.0.0.1:{port}/a.tar.xz", hashlib.sha256(data).hexdigest())
    with pytest.raises(MoleflowError, match=rf"(?i)connection refused.*put it at {tmp_path}/a\.tar\.xz") as caught:
        download("mvtec", source, tmp_path)
    assert "\n" not in str(caught.value)
    (tmp_path / "a.tar.xz").write_bytes(data)
    assert download("mvtec", source, tmp_path).classes == ("bottle",)


def test_a_page_that_is_gone_is_one_sentence(server, data, tmp_path):
    source = server.serve(data)
    server.RequestHandlerClass = type("Gone", (Handler,), {"do_GET": lambda self: self.send_error(404)})
    with pytest.raises(MoleflowError, match="answers 404"):
        download("mvtec", source, tmp_path)
    assert not list(tmp_path.glob("archive*"))


def test_a_folder_around_everything_is_left_out_of_a_zip(tmp_path):
    btad(tmp_path / "BTech_Dataset_transformed")
    with zipfile.ZipFile(tmp_path / "btad.zip", "w") as archive:
        for path in sorted((tmp_path / "BTech_Dataset_transformed").rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    source = Source("page", "licence", "http://127.0.0.1:1/btad.zip")
    assert download("btad", source, tmp_path).classes == ("01", "02", "03")


def test_members_that_point_outside_are_refused(tmp_path):
    image(tmp_path / "a.png")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "../../evil.png")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive_zip:
        archive_zip.writestr("../../evil.png", b"")
    for name in ("evil.tar", "evil.zip"):
        with pytest.raises(MoleflowError, match="cannot unpack"):
            unpack(tmp_path / name, tmp_path / "root")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "evil.tar", "evil.zip"]


@pytest.mark.parametrize("name", ["../../evil.png", "/tmp/evil.png", "link"])
def test_pythons_without_filters_refuse_what_they_refuse(tmp_path, monkeypatch, name):
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    image(tmp_path / "a.png")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "fine/train/good/a.png")
        archive.add(
            tmp_path / ("link" if name == "link" else "a.png"), name, filter=lambda member: _named(member, name)
        )
    with pytest.raises(MoleflowError, match="cannot unpack"):
        unpack(tmp_path / "evil.tar", tmp_path / "root")
    assert not (tmp_path / "root").exists()
    with tarfile.open(tmp_path / "good.tar", "w") as archive:
        archive.add(tmp_path / "a.png", "fine/train/good/a.png")
    unpack(tmp_path / "good.tar", tmp_path / "root")
    assert (tmp_path / "root/fine/train/good/a.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def _named(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    member.name = name
    return member


@pytest.mark.parametrize("content", [b"", b"<html>log in first</html>"])
def test_no_archive_is_one_sentence(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(MoleflowError, match="cannot unpack"):
        unpack(tmp_path / "a.tar", tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_what_cannot_be_fetched_by_a_program_says_where_it_is(tmp_path):
    with pytest.raises(UsageError, match="get it from https://"):
        download("mpdd", SOURCES["mpdd"], tmp_path)


def test_sources_are_datasets_and_their_sums_are_sums():
    assert set(SOURCES) == {"mvtec", "visa", "btad", "mpdd"} <= set(DATASETS)
    for source in SOURCES.values():
        assert source.sha256 is None or len(bytes.fromhex(source.sha256)) == 32
        assert source.url is None or source.url.startswith("https://")
