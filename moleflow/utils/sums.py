"""``SHA256SUMS``: the hash of each lasting file of a folder, in the format that ``sha256sum --check`` reads.

A file is written beside its place, listed, then renamed. Whenever its writer is killed, what the list names is there
under either name, so a file that differs from its line was changed by someone else.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import json_bytes, read_json, sha256_of, write_bytes

SUMS = "SHA256SUMS"
NEXT = ".next"
"""What the name of a file ends with while it waits for its place."""
LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def beside(file: Path) -> Path:
    """Where a file waits until it is listed."""
    return file.with_name(file.name + NEXT)


class Sums:
    """The files of a folder that are listed with their hashes. Only who may write the folder calls what writes.

    Args:
        folder: holds ``SHA256SUMS``; names of files are relative to it, with forward slashes.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def listed(self) -> dict[str, str]:
        """Name -> SHA-256, sorted by name; empty where there is no list.

        Raises:
            MoleflowError: the list is damaged.
        """
        file = self.folder / SUMS
        try:
            lines = [LINE.fullmatch(line) for line in file.read_text("ascii").splitlines()] if file.exists() else []
        except (OSError, UnicodeDecodeError):
            lines = [None]
        found = {match[2]: match[1] for match in lines if match is not None and _stays_inside(match[2])}
        if len(found) < len(lines):
            raise MoleflowError(f"{file} is damaged: restore it from a copy, or remove it: then nothing is compared.")
        return found

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, or create it, and list it.

        Raises:
            MoleflowError: the disk is full, the folder cannot be written, ...
        """
        self.settle([name])
        write_bytes(beside(self.folder / name), data)
        self.adopt([name])

    def write_json(self, name: str, content: Any) -> None:
        """``write`` of what ``write_json`` of ``utils.io`` would write. Raises as both do."""
        self.write(name, json_bytes(self.folder / name, content))

    def adopt(self, names: Iterable[str]) -> None:
        """List files that wait ``beside`` their places, then put them there.

        Raises:
            MoleflowError: one is not there, or the list cannot be written.
        """
        hashes = {name: sha256_of(beside(self.folder / name)) for name in names}
        if hashes:
            self._write({**self.listed, **hashes})
            self.settle(hashes)

    def remove(self, names: Iterable[str]) -> None:
        """Take files off the list, then away; those that are not there are no matter."""
        gone, listed = set(names), self.listed
        if gone & set(listed):
            self._write({name: digest for name, digest in listed.items() if name not in gone})
        for name in gone:
            (self.folder / name).unlink(missing_ok=True)

    def settle(self, names: Iterable[str] | None = None) -> None:
        """Put every listed file that still waits, after a kill, in its place; names: only these."""
        listed = self.listed
        for name in listed if names is None else set(names) & set(listed):
            waiting = beside(self.folder / name)
            if waiting.exists() and sha256_of(waiting) == listed[name]:
                waiting.replace(self.folder / name)

    def found(self, name: str) -> Path:
        """Where a file is whose content is the listed one, or that is not listed.

        Raises:
            MoleflowError: it differs from its hash, or the list is damaged.
        """
        file = self.folder / name
        digest = self.listed.get(name)
        for place in (file, beside(file)):
            if digest is None or (place.exists() and sha256_of(place) == digest):
                return place
        found = "differs from its hash in" if file.exists() else "is missing, and listed in"
        raise MoleflowError(
            f"{file} {found} {SUMS}: restore it from a copy; if it is a result, remove it, and --resume takes it again."
        )

    def read_json(self, name: str) -> Any:
        """The content of a JSON file, which is the listed one.

        Raises:
            MoleflowError: it differs from its hash, is missing or no JSON.
        """
        return read_json(self.found(name))

    def problems(self) -> Iterator[str]:
        """A sentence for each listed file that is not there as it was written, or for the list itself."""
        try:
            listed = self.listed
        except MoleflowError as error:
            yield str(error)
            return
        for name in listed:
            try:
                self.found(name)
            except MoleflowError as error:
                yield str(error)

    def _write(self, listed: dict[str, str]) -> None:
        lines = [f"{digest}  {name}\n" for name, digest in sorted(listed.items())]
        write_bytes(self.folder / SUMS, "".join(lines).encode("ascii"))


def _stays_inside(name: str) -> bool:
    place = PurePosixPath(name)
    return not place.is_absolute() and ".." not in place.parts
