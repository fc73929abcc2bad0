"""Processes that die by kill -9 right before they change something in a folder for the n-th time."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
PATIENCE = 300
"""Seconds after which a process that hangs is ended."""


def is_change(event: str, args: tuple[Any, ...], folder: str) -> bool:
    """Whether an audit event of the interpreter is a change of something in the folder."""
    if event == "open":
        return bool(args[2] & WRITES) and str(args[0]).startswith(folder)
    return event in CHANGES and any(str(one).startswith(folder) for one in args[:2])


def in_a_process(act: Callable[[], int], folder: Path, die_at: int | None = None) -> tuple[int, int]:
    """Do something in a process of its own.

    Args:
        act: gives the exit code.
        folder: changes in here are counted.
        die_at: the number, from 0, of the change before which the process kills itself; None: it lives.

    Returns:
        Exit code (minus the signal for one that died), and the changes it came to.
    """
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        _live(act, str(folder), die_at, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        changes = len(pipe.read())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), changes


def _live(act: Callable[[], int], folder: str, die_at: int | None, count: int) -> None:
    """The child: it never returns."""
    changes = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal changes
        if is_change(event, args, folder):
            if changes == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1
            os.write(count, b".")

    try:
        signal.alarm(PATIENCE)
        torch.set_num_threads(1)
        silence = os.open(os.devnull, os.O_WRONLY)
        sys.stdout.flush()
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.addaudithook(watch)
        os._exit(act())
    finally:
        os._exit(99)
