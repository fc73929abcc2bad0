#!/usr/bin/env python
"""Draw how the first task fares while later ones are learned: plot_forgetting.py OUT.png TITLE=RUN …, a line a run."""

import sys
from pathlib import Path

from here import guarded

from moleflow.analysis.forgetting_curve import draw_forgetting


def main(words: list[str]) -> int:
    """Draw; the exit code is 2 where the words are others.

    Raises:
        MoleflowError: a run cannot be read.
    """
    runs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    if not runs or len(runs) != len(words) - 1 or len(runs) > 4:
        print("usage: plot_forgetting.py OUT.png TITLE=RUN … (one to four runs)", file=sys.stderr)
        return 2
    curves = draw_forgetting({title: Path(run) for title, run in runs.items()}, Path(words[0]))
    for title, values in curves.items():
        print(f"{title}: " + " ".join(f"{100 * value:.1f}" for value in values))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
