"""SIGINT and SIGTERM: work goes on to a point where it can be left, and the program ends with 130 or 143."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 0.5
"""Seconds after the first signal in which another counts as the same one: a terminal and a script may both send it."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int):
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class _Signals:
    """What has arrived, and whether it may end the work right away."""

    def __init__(self) -> None:
        self.pending: int | None = None
        self.since = 0.0
        self.holds = 0

    def arrived(self, number: int, frame: FrameType | None) -> None:
        if self.pending is None:
            self.pending, self.since = number, time.monotonic()
            if not self.holds:
                raise Interrupted(number)
        elif time.monotonic() - self.since > PATIENCE:
            os._exit(128 + number)  # files are whole or absent, so this loses no more than a kill does

    def raise_pending(self) -> None:
        if self.pending is not None:
            raise Interrupted(self.pending)


_signals = _Signals()


@contextmanager
def listening() -> Iterator[None]:
    """Turn the first signal into ``Interrupted``, at once or at the end of ``held`` work; a second ends the program.

    Only a process's main thread can listen; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _signals.arrived) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signals.pending = None


@contextmanager
def held() -> Iterator[None]:
    """Work that a signal does not break off: it may look at ``asked_to_stop``, else it is stopped when it is done.

    Raises:
        Interrupted: a signal came meanwhile and the work has ended.
    """
    _signals.holds += 1
    try:
        yield
    finally:
        _signals.holds -= 1
    if not _signals.holds:
        _signals.raise_pending()


def asked_to_stop() -> bool:
    """Whether a signal waits for held work to end."""
    return _signals.pending is not None


def stop_if_asked() -> None:
    """End held work here.

    Raises:
        Interrupted: a signal waits.
    """
    _signals.raise_pending()
