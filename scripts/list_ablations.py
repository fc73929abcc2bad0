#!/usr/bin/env python
"""Print the names of ablation rows, one a line: of a study (core, design, rank, …), of all studies, or as named."""

import sys

import here  # noqa: F401

from moleflow.config.ablations import ABLATIONS, GROUPS
from moleflow.utils.text import did_you_mean


def main(words: list[str]) -> int:
    """Print the rows that the words name; the exit code is 2 where one names none."""
    studies = {**GROUPS, "all": tuple(ABLATIONS), **{name: (name,) for name in ABLATIONS}}
    for word in words:
        if word not in studies:
            known = ", ".join([*GROUPS, "all"])
            hint = did_you_mean(word, studies)
            print(f"error: {word!r} is no study ({known}) and no ablation row{hint}", file=sys.stderr)
            return 2
    print("\n".join(dict.fromkeys(name for word in words for name in studies[word])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
