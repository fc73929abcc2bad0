#!/usr/bin/env python
"""Write documents/ablations.md, and the history's rows of documents/reproduce.md, from the tables and measured runs."""

import sys

from here import ROOT

from moleflow.analysis.ablation_table import update_documents
from moleflow.utils.errors import MoleflowError


def main() -> int:
    """Write both documents; the exit code is 1 where one of their sources cannot be read."""
    try:
        update_documents(ROOT / "documents")
    except MoleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
