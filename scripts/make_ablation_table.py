#!/usr/bin/env python
"""Write documents/ablations.md, and the history's rows of documents/reproduce.md, from the tables and measured runs."""

import sys

from here import ROOT, guarded

from moleflow.analysis.ablation_table import update_documents


def main(words: list[str]) -> int:
    """Write both documents.

    Raises:
        MoleflowError: one of their sources cannot be read.
    """
    update_documents(ROOT / "documents")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
