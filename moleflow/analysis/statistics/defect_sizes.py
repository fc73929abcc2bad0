"""The table by size of defect."""

from collections.abc import Sequence

import numpy as np

from moleflow.analysis.statistics.breakdown import breakdown_table
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.tables import Table
from moleflow.evaluation.statistics.counted import Counted

SIZES = {"tiny, ≤ 0.2 %": 0.002, "small, ≤ 1 %": 0.01, "medium, ≤ 5 %": 0.05, "large, > 5 %": 1.0}
"""What a size is called -> the largest share of the image it takes, all of the image's defects together."""


def defect_sizes_table(runs: Sequence[FinishedRun]) -> Table:
    """A row for each setting, class and size of defect, of the images whose masks say it."""
    return breakdown_table(runs, "Results by size of defect", "share of the image", by_size)


def by_size(tested: Counted) -> dict[str, np.ndarray]:
    """Size -> the images of that size, (n,) bool."""
    names = list(SIZES)
    return {names[place]: chosen for place, chosen in tested.sizes(tuple(SIZES.values())[:-1]).items()}
