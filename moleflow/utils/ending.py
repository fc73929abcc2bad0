"""How a program ends: with an exit code and, whatever went wrong outside it, one sentence."""

import os
import sys
from collections.abc import Callable

from moleflow.utils.errors import MoleflowError
from moleflow.utils.memory import is_out_of_memory

AGAIN = "run the same line again"


def exit_code(work: Callable[[], int], way_on: str = "") -> int:
    """The exit code of a program: what its work returns, or 1 (failed), 2 (misuse), 130 or 143 (interrupted).

    A reader of the output who goes away ends the program without a word, as for any filter, unless it has work to go on
    with. An error in the program itself is raised: its traceback is for whoever mends it.

    Args:
        work: returns 0, or another code where something differs.
        way_on: what is kept and how to go on, for a program whose work is kept when it is stopped. It is printed after
            an error of the system, an interruption, and where memory or the output's reader is gone.

    Raises:
        SystemExit: the work does, as parsers do for ``--help``.
    """
    code = 1
    try:
        code = _code_of(work, way_on)
    finally:
        written = _written()
    return code if written else code or 1


def _code_of(work: Callable[[], int], way_on: str) -> int:
    try:
        return work()
    except MoleflowError as error:
        return _told(f"error: {error}", error.exit_code)
    except BrokenPipeError:
        return _told(f"error: nobody reads the output any more; {way_on}", 1) if way_on else 1
    except OSError as error:
        return _told(f"error: {error}{way_on and '; '}{way_on}", 1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _told(f"error: memory ran out: free some, or ask for less at once; {way_on or AGAIN}", 1)
    except KeyboardInterrupt as stop:
        return _told(f"interrupted; {way_on or AGAIN}", getattr(stop, "exit_code", 130))


def _told(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def _written() -> bool:
    """Whether all that was printed has arrived; Python would say so once more, in its own words, when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        return True
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _told(f"error: cannot write the output: {error.strerror or error}", 1)
        return False
