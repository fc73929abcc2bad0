#!/usr/bin/env python
"""Tabulate the runs in a folder: accuracy, routing, forgetting, cost; mean ± std over seeds."""

import sys
from pathlib import Path

from here import guarded
from rich.console import Console

from moleflow.analysis.summary import print_summary


def main(words: list[str]) -> int:
    """Print the table; the exit code is 2 where the words are others.

    Raises:
        MoleflowError: the folder is missing or holds no run.
    """
    if len(words) != 1 or words[0].startswith("-"):
        print("usage: summarize_runs.py LOG_DIR", file=sys.stderr)
        return 2
    print_summary(Path(words[0]), Console())
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
