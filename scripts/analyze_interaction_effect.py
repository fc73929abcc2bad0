#!/usr/bin/env python
"""Is a part a generic booster, or a cure for the frozen base? From the runs of run_interaction_effect.sh."""

import argparse
import sys
from pathlib import Path

import studies

from moleflow.analysis.continual.interaction_page import interaction_analysis


def main() -> int:
    """Write effects with their intervals."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("log_dir", type=Path, help="Folder of the runs.")
    return studies.run(lambda: study(parser.parse_args()))


def study(given: argparse.Namespace) -> None:
    found = interaction_analysis(given.log_dir, studies.command())
    found.write(given.output_dir)
    print("\n".join(found.finding))


if __name__ == "__main__":
    sys.exit(main())
