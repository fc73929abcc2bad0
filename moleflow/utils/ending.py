"""How a program ends: with an exit code and, whatever went wrong outside it, one sentence."""

import os
import sys
from collections.abc import Callable

from moleflow.utils.errors import MoleflowError
from moleflow.utils.memory import is_out_of_memory

AGAIN = "what is done is kept, the same line goes on"


def exit_code(work: Callable[[], int], way_on: str = AGAIN) -> int:
    """The exit code of a program: what its work returns, or 1 (failed), 2 (misuse), 130 or 143 (interrupted).

    An error in the program itself is raised: its traceback is for whoever mends it.

    Args:
        work: returns 0, or another code where something differs.
        way_on: what is kept and how work goes on, told where the system or whoever sits before it stopped it.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except MoleflowError as error:
        return _told(f"error: {error}", error.exit_code)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _told(f"error: {error}; {way_on}", 1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _told("error: memory ran out; what is done is kept, lower --batch_size or --img_size or free memory", 1)
    except KeyboardInterrupt as stop:
        return _told(f"interrupted; {way_on}", getattr(stop, "exit_code", 130))


def _told(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code
