#!/usr/bin/env python
"""Print the names of ablation rows, one a line: of a study (core, design, rank, …), of all studies, or as named."""

import sys

from here import guarded

from moleflow.config.ablations import ABLATIONS, GROUPS
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean


def main(words: list[str]) -> int:
    """Print the rows that the words name.

    Raises:
        UsageError: one names none.
    """
    studies = {**GROUPS, "all": tuple(ABLATIONS), **{name: (name,) for name in ABLATIONS}}
    for word in words:
        if word not in studies:
            known = ", ".join([*GROUPS, "all"])
            hint = did_you_mean(word, studies)
            raise UsageError(f"{word!r} is no study ({known}) and no ablation row{hint}")
    print("\n".join(dict.fromkeys(name for word in words for name in studies[word])))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
