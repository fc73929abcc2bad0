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


def in_a_process(
    act: Callable[[], int], folder: Path, die_at: int | None = None, by: int = signal.SIGKILL
) -> tuple[int, int]:
    """Do something in a process of its own.

    Args:
        act: gives the exit code.
        folder: changes in here are counted.
        die_at: the number, from 0, of the change before which the process sends itself a signal; None: it lives.
        by: the signal.

    Returns:
        Exit code (minus the signal for one that died), and the changes it came to.
    """
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.close(read)
        _live(act, str(folder), die_at, by, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        changes = len(pipe.read())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), changes


def _live(act: Callable[[], int], folder: str, die_at: int | None, by: int, count: int) -> None:
    """The child: it never returns."""
    changes = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal changes
        if is_change(event, args, folder):
            changes += 1
            if changes - 1 == die_at:
                os.kill(os.getpid(), by)
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
