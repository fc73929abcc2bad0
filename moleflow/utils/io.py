"""Files that are whole or absent: atomic writes, checked reads, no pickle anywhere.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so that whoever looks sees
the old content or the new one, also after a power cut. The same content always gives the same bytes.

torch is imported by what reads and writes tensors only: commands that do without it start two seconds sooner.
"""

import csv
import errno
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from safetensors import SafetensorError, safe_open

from moleflow.utils.errors import MoleflowError

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".*-*.tmp"
"""What files are called while they are written."""


def write_bytes(path: str | Path, data: bytes, durable: bool = True) -> None:
    """Replace a file, or create it and its folder, in one step.

    Args:
        path: the file.
        data: its whole content.
        durable: whether the content must survive a power cut; False is faster, for what can be computed again.

    Raises:
        MoleflowError: the disk is full, the folder cannot be written, ...
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}-{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, data, durable)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise MoleflowError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: str | Path, text: str) -> None:
    """Replace a file by a text in UTF-8, halves of surrogate pairs escaped. Raises MoleflowError as ``write_bytes``."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # which in JSON is an escape of its own


def write_rows(path: str | Path, rows: Iterable[Sequence[Any]]) -> None:
    """Replace a file by a table in CSV; None is an empty cell. Raises MoleflowError as ``write_bytes`` does."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    write_text(path, buffer.getvalue())


def write_json(path: str | Path, content: Any) -> None:
    """Replace a file by JSON: keys in the order given, indented by two, a newline at the end.

    Raises:
        MoleflowError: the content is no JSON (NaN and infinity are not: write None), or the file cannot be written.
    """
    write_bytes(path, json_bytes(path, content))


def json_bytes(path: str | Path, content: Any) -> bytes:
    """What ``write_json`` writes. Raises MoleflowError, which names the file, where the content is no JSON."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise MoleflowError(f"cannot write {path}: its content is no valid JSON ({error})") from error
    return (text + "\n").encode("utf-8", "backslashreplace")


def write_tensors(
    path: str | Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None, durable: bool = True
) -> None:
    """Replace a file by tensors in safetensors format; equal tensors and metadata give equal bytes.

    Tensors may be views, share memory or lie on a GPU: each is stored whole and on its own. ``durable`` is as for
    ``write_bytes``.

    Raises:
        MoleflowError: the file cannot be written.
    """
    from safetensors.torch import save
    from torch import contiguous_format

    whole = {name: tensor.detach().cpu().clone(memory_format=contiguous_format) for name, tensor in tensors.items()}
    data = save(whole, dict(metadata) if metadata else None)
    write_bytes(path, _with_sorted_metadata(data), durable)


def read_json(path: str | Path) -> Any:
    """The content of a JSON file.

    Raises:
        MoleflowError: the file is missing, unreadable or no JSON (NaN and infinity are not).
    """
    try:
        return json.loads(Path(path).read_bytes(), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        _raise_unreadable(path, "a JSON file", error)


@contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Where a file's content is taken apart: what is not of the shape that moleflow writes is named, not tripped over.

    Raises:
        MoleflowError: a key is missing, or a value is of another kind.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise MoleflowError(
            f"{path} is damaged: it does not hold what moleflow writes there "
            f"({type(error).__name__}); restore it from a copy, or train again with --overwrite."
        ) from error


def read_tensors(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file, on the CPU.

    Raises:
        MoleflowError: the file is missing, unreadable, truncated or of another format.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        _raise_unreadable(path, "a safetensors file", error)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors file, keys sorted; empty where it has none. Raises as ``read_tensors`` does."""
    try:
        with safe_open(path, "pt") as file:
            return dict(sorted((file.metadata() or {}).items()))
    except (OSError, ValueError, SafetensorError) as error:
        _raise_unreadable(path, "a safetensors file", error)


KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""What can bear a file's name and has no content to be read to its end."""


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file to be read; a pipe, a socket or a device is never waited for.

    Raises:
        OSError: it is no regular file, or cannot be opened.
    """
    _refuse_irregular(os.stat(path).st_mode)
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  (the caller closes it)
    try:
        _refuse_irregular(os.fstat(file.fileno()).st_mode)  # what was looked at may have been replaced since
    except OSError:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_irregular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits.

    Raises:
        MoleflowError: the file is missing or unreadable.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        _raise_unreadable(path, "a file", error)


def _write_new(path: Path, data: bytes, durable: bool) -> None:
    with path.open("xb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: the name lives in the folder, not in the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _with_sorted_metadata(data: bytes) -> bytes:
    """The same safetensors file with its metadata sorted: the library writes them in an order that changes per call."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns tensors to eight bytes
    return len(text).to_bytes(8, "little") + text + data[start:]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _raise_unreadable(path: str | Path, expected: str, error: Exception) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise MoleflowError(f"cannot read {path}: expected {expected}, found nothing there") from error
    reason = getattr(error, "strerror", None) or error
    raise MoleflowError(
        f"cannot read {path}: expected {expected}, found a damaged or unreadable one ({reason})"
    ) from error
