"""No link leads a run's files elsewhere: what is read is the run's own, and what is written or removed, too."""

import os
from pathlib import Path

from moleflow.utils.errors import MoleflowError


def refuse_links_out(path: Path) -> None:
    """Refuse to write a run's folder in which a link leads elsewhere: what lies there would be changed or removed.

    Raises:
        MoleflowError: there is such a link.
    """
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            if (item := Path(folder, name)).is_symlink():
                refuse_outside(path, item)


def refuse_outside(run: Path, item: Path) -> None:
    """Refuse a file or folder of a run that is a link out of it. The run's folder itself may be a link.

    Raises:
        MoleflowError: it is.
    """
    try:
        target = item.resolve()
    except (OSError, RuntimeError):  # links in a circle
        target = None
    if target is None or not target.is_relative_to(run.resolve()):
        where = target or "itself"
        raise MoleflowError(f"{item} is a link that leads out of the run, to {where}; put what it names in its place.")
