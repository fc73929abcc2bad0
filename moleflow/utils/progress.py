"""Progress of long work: rate and time left, a bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, title: str, unit: str, done: int = 0) -> Iterable[Item]:
    """The items, with a progress bar on standard error; ``done`` of the ``total`` were there before."""
    pause = 0.1 if sys.stderr.isatty() else 15.0
    pauses = {"mininterval": pause, "maxinterval": 2 * pause}
    return tqdm(items, total=total, desc=title, unit=unit, dynamic_ncols=True, initial=done, **pauses)
