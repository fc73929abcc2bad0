#!/usr/bin/env python
"""Write requirements-hashes.txt from a report of pip, read from standard input."""

import json
import sys

from here import ROOT, guarded

from moleflow.utils.io import write_text
from moleflow.utils.pins import hashed

USAGE = (
    """usage: pip install --dry-run --ignore-installed --quiet --report - -r requirements.txt | scripts/pin_hashes.py"""
)


def main(words: list[str]) -> int:
    """Write the file; the exit code is 2 where standard input is no report."""
    if words:
        print(USAGE, file=sys.stdout if words[0] in ("-h", "--help") else sys.stderr)
        return 0 if words[0] in ("-h", "--help") else 2
    try:
        text = hashed(json.load(sys.stdin)["install"])
    except (KeyError, TypeError, ValueError):
        print(f"error: expected a report of pip on standard input, found something else; {USAGE}", file=sys.stderr)
        return 2
    write_text(ROOT / "requirements-hashes.txt", text)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
