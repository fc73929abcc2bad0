"""Words for people."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from moleflow.utils.errors import UsageError

LONGEST_WORD = 100
"""Signs of a word that are compared: the time it takes grows with their square."""


def shown(name: object) -> str:
    """A name or a sentence on one line: line breaks, other controls and bytes that are no text are escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in str(name))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that proposes the nearest known word, or a full stop where none is near."""
    close = get_close_matches(word[:LONGEST_WORD], list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else "."


def refuse_unknown(flag: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    """Refuse names that are not in a table, or listed twice.

    Raises:
        UsageError: there is one.
    """
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"{flag} has an unknown {name!r}, expected some of {', '.join(known)}{hint}")
    if len(set(names)) < len(names):
        raise UsageError(f"{flag} lists one twice: {' '.join(names)}; list each once.")
