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
MEMORY = "error: memory ran out; what is done is kept, lower --batch_size or --img_size or free memory\n"


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
    (FULL, 1, "error: [Errno 28] No space left on device; what is done is kept, the same line goes on\n"),
    (MemoryError(), 1, MEMORY),
    (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, MEMORY),
    (KeyboardInterrupt(), 130, "interrupted; what is done is kept, the same line goes on\n"),
    (Interrupted(signal.SIGTERM), 143, "interrupted; what is done is kept, the same line goes on\n"),
])  # fmt: skip
def test_an_error_is_one_sentence_and_a_code(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error)) == code
    assert capsys.readouterr() == ("", sentence)


@pytest.mark.parametrize(("error", "beginning"), [(FULL, "error: [Errno 28]"), (KeyboardInterrupt(), "interrupted; ")])
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


def test_a_reader_that_went_away_is_no_traceback() -> None:
    """``… | head -1``: what was printed last is flushed into a pipe that nobody reads."""
    program = "import sys; from moleflow.utils.ending import exit_code; sys.exit(exit_code(lambda: print('x') or 0))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = [sys.executable, "-c", program]
    running = subprocess.Popen(line, cwd=ROOT, env=buffered, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.close()
    _, told = running.communicate(timeout=60)
    assert (running.returncode, told) == (1, "")
