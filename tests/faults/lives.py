"""Runs as processes of their own, which a test may kill: at the n-th file they touch, or from outside.

They are forked from a server that has imported everything, so that a life costs no more than its work.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from registry.miniature import promised, shelf, words_for

from moleflow.trainer.progress_file import PROGRESS
from moleflow.utils.sums import Sums

CONTEXT: Any = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["moleflow.run", "moleflow.evaluation.report.write", "moleflow.extractors.cnn_extractor"]
)
STREAM = ("--num_steps", "10", "--val_fraction", "0.2")
ALWAYS, NEVER = float("inf"), 0.0
TOUCHES = {"open", "os.rename", "os.remove"}


class Whole(NamedTuple):
    """A run in one piece.

    Attributes:
        promised: hashes of all files whose bytes a run promises.
        metrics: its metrics.jsonl.
        touches: how often it touched a file, keeping every position, from a cache that held all features.
    """

    promised: dict[str, str]
    metrics: str
    touches: int


def started(
    log_dir: Path,
    *words: str,
    dies_at: int = -1,
    by: int = signal.SIGKILL,
    within: Path | None = None,
    counted: Path | None = None,
    share: float = ALWAYS,
) -> Any:
    """Start a run.

    Args:
        log_dir: its folder of runs.
        words: further words of its command line.
        dies_at: it sends itself a signal before the so-manieth touch of a file in the run's folder, the images or the
            cache.
        by: the signal.
        within: touches in this folder alone count.
        counted: where it writes, in the end, how many there were.
        share: share of its time that keeping positions may take: by default they are kept after every step.
    """
    line = words_for(log_dir, *STREAM, *words)
    roots = (str(within),) if within else (str(log_dir), str(shelf()))
    process = CONTEXT.Process(target=live, args=(line, str(log_dir) + ".txt", roots, dies_at, by, counted, share))
    process.start()
    return process


def live(
    line: list[str], output: str, roots: tuple[str, ...], dies_at: int, by: int, counted: Path | None, share: float
) -> None:
    """The run, in the process of its own."""
    from moleflow.trainer.progress_file import ProgressFile
    from run_moleflow import main

    os.environ["OMP_NUM_THREADS"] = "1"
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    touches = [0]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(roots):
            touches[0] += 1
            if touches[0] - 1 == dies_at:
                os.kill(os.getpid(), by)

    sys.addaudithook(count)
    ProgressFile.share = share
    sys.argv = ["run_moleflow.py", *line]
    code = main()
    if counted:
        counted.write_text(str(touches[0]))
    sys.stdout.flush()
    os._exit(code)


def finished(log_dir: Path, *words: str, **how: Any) -> int:
    """A run to its end: its exit code, negative where a signal ended it."""
    process = started(log_dir, *words, **how)
    process.join()
    return int(process.exitcode)


def output(log_dir: Path) -> str:
    """What all lives of a run have printed."""
    return Path(str(log_dir) + ".txt").read_text()


def wait_for(condition: Callable[[], object], process: Any, seconds: float = 120) -> None:
    """Until something is so; fails where the process ends before, or where it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.is_alive(), "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def assert_resumes(log_dir: Path, whole: Whole, *words: str, **how: Any) -> None:
    """Resume a run, and compare what it ends with to a run in one piece."""
    assert finished(log_dir, "--resume", *words, **how) == 0, output(log_dir)
    run = log_dir / "run"
    assert promised(run) == whole.promised, output(log_dir)
    assert (run / "metrics.jsonl").read_text() == whole.metrics, "no row twice, none lost"
    assert list(Sums(run).problems()) == []
    assert "Traceback" not in output(log_dir)
    assert not (run / PROGRESS).exists()
    assert not list(run.rglob("*.tmp*")), "what killed writers left is tidied"
    assert not list(run.rglob("*.next"))
