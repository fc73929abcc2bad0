"""Where in a task's training a run is: one file, written now and then, by which a stopped run goes on mid-epoch.

Its content is data: tensors, and JSON in the metadata. It is no part of what a run promises: without it, or where it is
damaged, a task starts anew and ends with the same bytes.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_metadata, read_tensors, write_tensors
from moleflow.utils.log import say

PROGRESS = "progress.safetensors"
FORMAT = 1
RATE = 100e6
"""Bytes a second that the first write is expected to reach."""
LEAST = 0.15
"""Seconds that a write counts for at least, so that there is none in tasks which are over in seconds."""


class Position(NamedTuple):
    """A point in a task's training.

    Attributes:
        tensors: weights, moments, random numbers, by name.
        values: all else, as JSON can hold it.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class NoProgress:
    """Keeps no position: a task that was stopped starts anew."""

    def read(self, owner: Callable[[], str]) -> Position | None:
        """The position kept for an owner, a text that says of which training it must be; None where there is none."""
        return None

    def due(self, size: int) -> bool:
        """Whether a position of so many bytes is worth its writing now."""
        return False

    def write(self, position: Position) -> None:
        """Keep a position for the owner that was asked for last."""

    def remove(self) -> None:
        """Forget what is kept."""


class ProgressFile(NoProgress):
    """Keeps the latest position in a file, whole or absent, at a small share of the time.

    A write is due once ``share`` of the time since the last one (since the task began, for the first) covers what the
    last one took, but at most every ten seconds.

    Args:
        path: the file.
        builds_on: what the training builds on besides the owner, as text.

    Attributes:
        share: share of training time that writing may take; below the promised 2 %, for a write may be slower than the
            last one.
        seconds: what writing has taken since the task began.
    """

    share = 0.015

    def __init__(self, path: Path, builds_on: Callable[[], str] = str):
        self.path = path
        self.builds_on = builds_on
        self.seconds = 0.0
        self._last: float | None = None
        self._since = time.perf_counter()
        self._owner = ""

    def read(self, owner: Callable[[], str]) -> Position | None:
        """The position that was kept for the owner; what is damaged or another's is named and removed."""
        self._owner = f"{owner()} {self.builds_on()}"
        self.seconds, self._since = 0.0, time.perf_counter()
        if not self.path.exists():
            return None
        try:
            return self._checked()
        except MoleflowError as error:
            say(f"warning: {error}; the task starts anew and ends the same")
            self.remove()
            return None

    def due(self, size: int) -> bool:
        """Whether enough time has passed."""
        expected = size / RATE if self._last is None else self._last
        return (time.perf_counter() - self._since) * self.share >= max(expected, LEAST)

    def write(self, position: Position) -> None:
        """Replace the file; where that fails (a full disk) training goes on with the old one.

        It need not survive a power cut: half a file is found out by its hash.
        """
        start = time.perf_counter()
        tensors = {name: tensor.detach().cpu() for name, tensor in position.tensors.items()}
        text = json.dumps({"format": FORMAT, "owner": self._owner, **position.values})
        try:
            write_tensors(self.path, tensors, {"position": text, "sha256": digest(tensors, text)}, durable=False)
        except MoleflowError as error:
            say(f"warning: {error}; training goes on, and would be resumed from an earlier step")
        self._since = time.perf_counter()
        self._last = self._since - start
        self.seconds += self._last

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)

    def _checked(self) -> Position:
        metadata = read_metadata(self.path)
        tensors = {name: value.clone() for name, value in read_tensors(self.path).items()}  # sums see alignment
        text = metadata.get("position", "")
        if metadata.get("sha256") != digest(tensors, text):
            raise MoleflowError(f"{self.path} is damaged: it differs from its hash")
        values = json.loads(text)
        if values.pop("format") != FORMAT or values.pop("owner") != self._owner:
            raise MoleflowError(f"{self.path} is of another training, of other images or of another version")
        return Position(tensors, values)


def digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over a text and the bytes of tensors by name, as hex."""
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
