"""Imported first by the scripts of this folder: puts the repository on the path, so that they run from anywhere.

It also lets them end quickly.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from moleflow.utils.collecting import freeze_at_exit  # noqa: E402
from moleflow.utils.ending import exit_code  # noqa: E402

freeze_at_exit()


def guarded(main: Callable[[Sequence[str]], int]) -> int:
    """What a script's ``main`` makes of the command line, as an exit code."""
    return exit_code(lambda: main(sys.argv[1:]))
