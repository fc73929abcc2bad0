#!/usr/bin/env python
"""What each choice of a preset is worth on training images alone, with intervals, from runs judged inside."""

import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import guarded

from moleflow.analysis.choices import choices_analysis
from moleflow.analysis.statistics.report import Resampling


def main(words: Sequence[str]) -> int:
    """Write the table of effects and what it says for, against or about each choice."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("folder", type=Path, help="The OUT of scripts/validate_inside.py.")
    parser.add_argument("--base", required=True, help="Name of the run that makes every choice.")
    parser.add_argument("--classes", nargs="+", default=[], help="Classes that means are of (default: all).")
    parser.add_argument("--resamples", type=int, default=1000, help="Of the bootstrap (default: 1000).")
    given = parser.parse_args(words)
    resampling = Resampling(given.resamples)
    found = choices_analysis(given.folder, given.base, resampling, studies.command(), given.classes)
    found.write(given.output_dir)
    print("\n".join(found.finding))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
