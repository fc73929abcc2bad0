"""How a dataclass field says what its command-line flag is: sentence, bounds, choices, and (for slots) the variants."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints


def knob(
    default: Any,
    sentence: str,
    flag: str | None = None,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    selects: bool = False,
) -> Any:
    """A field with its default, the sentence that becomes its help, its flag (default: its name) and its bounds.

    Giving the flag of a field that ``selects`` chooses the field's variant.
    """
    return field(
        default=default,
        metadata={"help": sentence, "flag": flag, "choices": choices, "low": low, "high": high, "selects": selects},
    )


def slot(
    default: Any,
    sentence: str,
    switches: Mapping[str, type] | None = None,
    mode: tuple[str, Mapping[str, type]] | None = None,
) -> Any:
    """A place in the data path: its default variant, and the flags that choose another.

    Args:
        default: the variant of the full method.
        sentence: what stands in this place.
        switches: flag without a value -> the variant it chooses (``use_dia`` -> ``Dia``).
        mode: a flag with a value and the variants by that value (``router``, {``tied``: ``Tied``}).
    """
    return field(default=default, metadata={"help": sentence, "switches": switches or {}, "mode": mode})


@dataclass(frozen=True)
class Knob:
    """One settable field of one config dataclass, as the command line sees it."""

    owner: type
    name: str
    flag: str
    kind: Any
    default: Any
    help: str
    choices: tuple[str, ...] | None
    low: float | None
    high: float | None
    selects: bool

    @property
    def optional(self) -> bool:
        """Whether the value may be None."""
        return type(None) in get_args(self.kind)

    @property
    def scalar(self) -> type:
        """The type of one value: the inner type of an optional or of a tuple."""
        inner = [kind for kind in get_args(self.kind) if kind not in (type(None), Ellipsis)]
        return inner[0] if inner else self.kind

    @property
    def is_tuple(self) -> bool:
        """Whether the flag takes several values."""
        return get_origin(self.kind) is tuple


def knobs_of(owner: type) -> Iterator[Knob]:
    """The knobs of a config dataclass, in the order they are written."""
    hints = get_type_hints(owner)
    for one in fields(owner):
        if "flag" in one.metadata:
            meta = one.metadata
            yield Knob(
                owner, one.name, meta["flag"] or one.name, hints[one.name], one.default,
                meta["help"], meta["choices"], meta["low"], meta["high"], meta["selects"],
            )  # fmt: skip


def variants_of(place: Field[Any]) -> tuple[type, ...]:
    """The variants a slot can hold, in the order they are written."""
    mode = place.metadata["mode"][1].values() if place.metadata["mode"] else ()
    return tuple(dict.fromkeys([*mode, *place.metadata["switches"].values()])) or (type(place.default),)


def spelling(place: Field[Any], variant: type) -> str:
    """The command-line words that choose a variant, for messages."""
    mode = place.metadata["mode"]
    if mode:
        return next(f"--{mode[0]} {value}" for value, chosen in mode[1].items() if chosen is variant)
    return next(f"--{switch}" for switch, chosen in place.metadata["switches"].items() if chosen is variant)
