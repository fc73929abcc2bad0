"""Imported first by the scripts of this folder: puts the repository on the path, so that they run from anywhere.

It also lets them end quickly.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from moleflow.utils.collecting import freeze_at_exit  # noqa: E402

freeze_at_exit()


def guarded(main: Callable[[Sequence[str]], int]) -> int:
    """What a script's ``main`` returns for the command line; an error is one sentence and its exit code."""
    from moleflow.utils.errors import MoleflowError

    try:
        return main(sys.argv[1:])
    except MoleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again", file=sys.stderr)
        return 130
