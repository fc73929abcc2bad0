#!/usr/bin/env python
"""What old tasks lose under several ways of training the shared base. From the runs of run_forgetting.sh."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import guarded

from moleflow.analysis.continual.forgetting import forgetting_analysis


def main(words: Sequence[str]) -> int:
    """Write the task matrices over time."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("log_dir", type=Path, help="Folder of the runs, called <method>-s<seed>.")
    parser.add_argument("--methods", nargs="+", default=(), metavar="NAME", help="Which, in this order (default: all).")
    study(parser.parse_args(words))
    return 0


def study(given: argparse.Namespace) -> None:
    found = forgetting_analysis(given.log_dir, given.methods, studies.command())
    found.write(given.output_dir)
    print("\n".join(found.finding))


if __name__ == "__main__":
    sys.exit(guarded(main))
