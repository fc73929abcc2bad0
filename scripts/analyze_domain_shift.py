#!/usr/bin/env python
"""Every table and figure of a domain-shift study that scripts/run_domain_shift.py has measured."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import guarded

from moleflow.analysis.shift.report import write_all


def main(words: Sequence[str]) -> int:
    """Write the report and name what is left out."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("--results", type=Path, required=True, help="Folder of the study.")
    study(parser.parse_args(words))
    return 0


def study(given: argparse.Namespace) -> None:
    for sentence in write_all(given.results, given.output_dir):
        print(sentence)
    print(f"report: {given.output_dir / 'summary.md'}")


if __name__ == "__main__":
    sys.exit(guarded(main))
