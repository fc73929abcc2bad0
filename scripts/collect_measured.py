#!/usr/bin/env python
"""Gather the runs of run_measured_ablations.sh: FOLDER of runs -> documents/ablations_measured.json."""

import sys
from pathlib import Path

from here import ROOT, guarded

from moleflow.analysis.measured import collect
from moleflow.utils.io import write_json


def main(words: list[str]) -> int:
    """Write the file; the exit code is 2 where no folder is given.

    Raises:
        MoleflowError: no run can be read.
    """
    if len(words) != 1:
        print("usage: collect_measured.py FOLDER", file=sys.stderr)
        return 2
    measured, trouble = collect(Path(words[0]))
    write_json(ROOT / "documents" / "ablations_measured.json", measured)
    for sentence in trouble:
        print(f"left out: {sentence}", file=sys.stderr)
    print(f"{len(measured['rows'])} rows: documents/ablations_measured.json")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
