#!/usr/bin/env python
"""Is a part a generic booster, or a cure for the frozen base? From the runs of run_interaction_effect.sh."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import guarded

from moleflow.analysis.continual.interaction_page import interaction_analysis


def main(words: Sequence[str]) -> int:
    """Write effects with their intervals."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("log_dir", type=Path, help="Folder of the runs.")
    study(parser.parse_args(words))
    return 0


def study(given: argparse.Namespace) -> None:
    found = interaction_analysis(given.log_dir, studies.command())
    found.write(given.output_dir)
    print("\n".join(found.finding))


if __name__ == "__main__":
    sys.exit(guarded(main))
