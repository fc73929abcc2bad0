"""Peers by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from moleflow.baselines.base import Peer
from moleflow.baselines.padim import PaDiM
from moleflow.baselines.patchcore import PatchCore
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean


class Entry(NamedTuple):
    """One row of the table.

    Attributes:
        category: what kind of detector it is.
        make: builds it, unfitted.
    """

    category: str
    make: Callable[..., Peer]


PEERS: dict[str, Entry] = {
    "patchcore": Entry("memory_based", PatchCore),
    "padim": Entry("statistical", PaDiM),
}


def get_model(name: str, **options: Any) -> Peer:
    """An unfitted peer.

    Args:
        name: one of ``PEERS``.
        options: what its class takes.

    Raises:
        UsageError: the name is unknown, it takes no such option, or what it wraps is not installed.
    """
    if name not in PEERS:
        raise UsageError(f"Unknown peer {name!r}, expected one of {', '.join(PEERS)}{did_you_mean(name, PEERS)}")
    try:
        return PEERS[name].make(**options)
    except TypeError as error:
        raise UsageError(f"The peer {name!r} cannot be made so: {str(error).split('__init__() ')[-1]}.") from error


def list_models_by_category(category: str) -> list[str]:
    """Names of the peers of a category, sorted.

    Raises:
        UsageError: there is no such category.
    """
    known = sorted({entry.category for entry in PEERS.values()})
    if category not in known:
        hint = did_you_mean(category, known)
        raise UsageError(f"Unknown category of peers {category!r}, expected one of {', '.join(known)}{hint}")
    return sorted(name for name, entry in PEERS.items() if entry.category == category)
