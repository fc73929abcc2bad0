#!/usr/bin/env python
"""Every table of a report in one go, as Markdown, CSV and LaTeX: runs, ablations, domain shift."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import ROOT, guarded

from moleflow.utils.errors import UsageError


def main(words: Sequence[str]) -> int:
    """Write the tables asked for and name what is left out."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("--runs", type=Path, nargs="+", default=[], metavar="DIR", help="Runs, or folders of runs.")
    parser.add_argument("--domain_shift", type=Path, metavar="DIR", help="Folder of a domain-shift study.")
    parser.add_argument("--ablations", type=Path, nargs="?", const=ROOT / "documents" / "ablations_measured.json",
                        metavar="FILE", help="Measured ablations (default: this repository's).")  # fmt: skip
    study(parser.parse_args(words))
    return 0


def study(given: argparse.Namespace) -> None:
    if not (given.runs or given.domain_shift or given.ablations):
        raise UsageError("Which tables? Give --runs, --ablations or --domain_shift, or several of them.")
    left_out = [*_runs(given), *_ablations(given), *_domain_shift(given)]
    for sentence in left_out:
        print(sentence)
    print(f"tables: {given.output_dir}")


def _runs(given: argparse.Namespace) -> list[str]:
    from moleflow.analysis.statistics.finished import read_finished
    from moleflow.analysis.statistics.report import Resampling, statistics

    if not given.runs:
        return []
    runs, trouble = read_finished(given.runs)
    statistics(runs, None, Resampling(), studies.command()).write(given.output_dir / "runs")
    return [f"left out: {sentence}" for sentence in trouble]


def _ablations(given: argparse.Namespace) -> list[str]:
    from moleflow.analysis.measured_table import measured_table
    from moleflow.analysis.tables import write_table
    from moleflow.utils.io import read_json

    if given.ablations:
        write_table(measured_table(read_json(given.ablations)), given.output_dir / "ablations", "ablations")
    return []


def _domain_shift(given: argparse.Namespace) -> list[str]:
    from moleflow.analysis.shift.report import write_all

    if not given.domain_shift:
        return []
    return write_all(given.domain_shift, given.output_dir / "domain_shift")


if __name__ == "__main__":
    sys.exit(guarded(main))
