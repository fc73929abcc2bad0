"""Every program ends with an exit code and one sentence; errors of its own are raised."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moleflow.utils.ending import exit_code
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.interrupt import Interrupted

ROOT = Path(__file__).resolve().parents[2]
FULL = OSError(errno.ENOSPC, "No space left on device")
MEMORY = "error: memory ran out: free some, or ask for less at once; run the same line again\n"


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize("code", [0, 1])
def test_work_that_ends_says_nothing(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: code) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("error", "code", "sentence"), [
    (MoleflowError("the file is damaged; restore it."), 1, "error: the file is damaged; restore it.\n"),
    (UsageError("expected a, found b."), 2, "error: expected a, found b.\n"),
    (FULL, 1, "error: [Errno 28] No space left on device\n"),
    (MemoryError(), 1, MEMORY),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, MEMORY),
    (KeyboardInterrupt(), 130, "interrupted; run the same line again\n"),
    (Interrupted(signal.SIGTERM), 143, "interrupted; run the same line again\n"),
])  # fmt: skip
def test_an_error_is_one_sentence_and_a_code(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error)) == code
    assert capsys.readouterr() == ("", sentence)


@pytest.mark.parametrize(("error", "beginning"), [
    (FULL, "error: [Errno 28]"), (KeyboardInterrupt(), "interrupted; "), (MemoryError(), "error: memory ran out"),
    (BrokenPipeError(), "error: nobody reads the output any more; "),
])  # fmt: skip
def test_a_program_says_how_its_own_work_goes_on(
    error: BaseException, beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(raising(error), "say --resume")
    told = capsys.readouterr().err
    assert told.startswith(beginning)
    assert told.endswith("; say --resume\n")


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no"), AssertionError()])
def test_a_mistake_of_the_program_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        exit_code(raising(error))


BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
PRINTS = "lambda: print('x') or 0"
WAYS = {
    "prints and is done": (PRINTS, 1),
    "differs": ("lambda: print('x') or 1", 1),
    "is misused": ("lambda: print('x') or exec('raise UsageError(1)')", 2),
    "asks for help": ("lambda: print('x') or sys.exit(0)", 0),
}


def program(work: str, stdout: int, **options: object) -> tuple[int, str]:
    """Exit code and standard error of a program whose output goes somewhere."""
    code = "import sys; from moleflow.utils.ending import exit_code; from moleflow.utils.errors import UsageError; "
    line = [sys.executable, "-c", f"{code}sys.exit(exit_code({work}))"]
    environment = {**BUFFERED, "PYTHONPATH": str(ROOT), **options}
    done = subprocess.run(line, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_that_went_away_is_no_traceback(way: str) -> None:
    """``… | head -1``: what was printed last is flushed into a pipe that nobody reads."""
    work, expected = WAYS[way]
    reading, writing = os.pipe()
    os.close(reading)
    code, told = program(work, writing)
    os.close(writing)
    assert code == expected
    assert told == ("error: 1\n" if way == "is misused" else "")


def test_nor_is_it_where_every_line_is_written_at_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert program(PRINTS, writing, PYTHONUNBUFFERED="1") == (1, "")
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_that_cannot_be_written_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        code, told = program(PRINTS, full.fileno())
    assert (code, told) == (1, "error: cannot write the output: No space left on device\n")


def test_a_program_without_output_ends_as_its_work_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert exit_code(lambda: 0) == 0
