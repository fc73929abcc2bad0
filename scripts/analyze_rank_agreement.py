#!/usr/bin/env python
"""Does an inner validation rank settings as the test sets do? Kendall's τ over runs of the same names on both."""

import sys
from collections.abc import Sequence
from pathlib import Path

import studies
from here import guarded

from moleflow.analysis.rank_agreement import BY, rank_agreement


def main(words: Sequence[str]) -> int:
    """Write τ, what choosing inside costs, and a scatter figure."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("inner_logs", type=Path, help="Folder of the runs on the inner validation.")
    parser.add_argument("test_logs", type=Path, help="Folder of the runs on the real data.")
    parser.add_argument(
        "--by",
        choices=list(BY),
        default="image_auroc",
        help="What ranks inside what image AUROC ranks on the test sets (default: %(default)s).",
    )
    given = parser.parse_args(words)
    found = rank_agreement(given.inner_logs, given.test_logs, studies.command(), given.by)
    found.write(given.output_dir)
    print("\n".join(found.finding))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
