#!/usr/bin/env python
"""Write documents/baselines.md; FOLDER of scripts/peers.sh's experiments, if given, becomes the measured rows."""

import sys
from collections.abc import Sequence
from pathlib import Path

from here import ROOT, guarded

from moleflow.experiments.page import update_page
from moleflow.utils.errors import UsageError


def main(words: Sequence[str]) -> int:
    """Write it; the exit code is 0, or 1 or 2 where something cannot be read."""
    if len(words) > 1:
        raise UsageError("usage: make_baselines_page.py [FOLDER]")
    update_page(ROOT / "documents", Path(words[0]) if words else None)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
