"""Changes of JSON values and of bytes, for hypothesis."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

EDGES = [10**400, -(10**400), 2**63, -1, 1e308, "..", "../x.safetensors", "/etc/passwd", "\0", "a\nb", "\ud800", ""]

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from(EDGES))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
"""What JSON can hold, and the three numbers that it cannot."""

DEEP = b"<deep>"
"""Stands for an array that nests deeper than any reader goes."""


def nodes(content: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to everything in a JSON value."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [way, *(found for key, item in inner for found in nodes(item, (*way, key)))]


def changed(content: Any, way: tuple[Any, ...], put: Any) -> Any:
    """A copy with something else at one place; ``...`` takes it away."""
    if not way:
        return None if put is ... else put
    result = copy.deepcopy(content)
    holder = result
    for key in way[:-1]:
        holder = holder[key]
    if put is ...:
        del holder[way[-1]]
    else:
        holder[way[-1]] = put
    return result


def changes(content: Any) -> st.SearchStrategy[bytes]:
    """JSON text of a value with something else in one place, or with some of its bytes replaced."""
    whole = json.dumps(content).encode()
    put = st.tuples(st.sampled_from(nodes(content)), values | st.just(...))
    cut = st.tuples(st.integers(0, len(whole)), st.integers(0, 30), st.binary(max_size=9) | st.just(DEEP))
    return st.one_of(
        put.map(lambda pair: json.dumps(changed(content, *pair)).encode()),
        cut.map(lambda cut: whole[: cut[0]] + cut[2] + whole[cut[0] + cut[1] :]),
    )


def written_out(text: bytes) -> bytes:
    """The text with what stands for deep nesting in place; kept short until here for the sake of messages."""
    return text.replace(DEEP, b"[" * 100_000)
