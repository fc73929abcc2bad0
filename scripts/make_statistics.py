#!/usr/bin/env python
"""Statistics of finished runs, from their folders alone: tables over seeds, intervals, defects, a paired test."""

import argparse
import shlex
import sys
from pathlib import Path

from here import guarded

from moleflow.utils.errors import UsageError


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(prog="make_statistics.py", description=__doc__, allow_abbrev=False)
    flags.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="runs, or folders of runs")
    flags.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for tables and numbers")
    flags.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two runs to test against each other")
    flags.add_argument("--resamples", type=int, default=1000, metavar="N", help="resamplings (default: 1000)")
    flags.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the resampling (default: 0)")
    return flags


def main(words: list[str]) -> int:
    """Write the statistics.

    Raises:
        MoleflowError: a run's scores cannot be read.
    """
    flags = parser()
    given = flags.parse_args(words)
    if given.resamples < 1 or given.seed < 0:
        flags.error("--resamples takes a number from 1 up, --seed one from 0 up")
    runs, trouble = write(given, words)
    for sentence in trouble:
        print(f"left out: {sentence}", file=sys.stderr)
    print(f"{runs} runs: {given.out / 'summary.md'}")
    return 0


def write(given: argparse.Namespace, words: list[str]) -> tuple[int, list[str]]:
    """Write what was asked for; how many runs it is of, and a sentence on each that was left out."""
    from moleflow.analysis.statistics.finished import read_finished
    from moleflow.analysis.statistics.report import Resampling, statistics

    runs, trouble = read_finished(given.runs)
    pair = None
    if given.compare:
        compared, unread = read_finished(given.compare)
        if len(compared) != 2:
            raise UsageError(f"--compare takes two finished runs, found {len(compared)} {'; '.join(unread)}".strip())
        pair = compared[0], compared[1]
    command = shlex.join(["python", "scripts/make_statistics.py", *words])
    statistics(runs, pair, Resampling(given.resamples, given.seed), command).write(given.out)
    return len(runs), trouble


if __name__ == "__main__":
    sys.exit(guarded(main))
