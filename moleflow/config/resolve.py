"""From layers of flags (preset, ablation, config file, command line) to one resolved configuration."""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from functools import cache
from typing import Any, TypeVar

from moleflow.config import variants as v
from moleflow.config.ablation import AblationConfig
from moleflow.config.knobs import Knob, knobs_of, spelling, variants_of
from moleflow.config.presets import ALIASES, SHORTHANDS
from moleflow.config.rules import apply_rules
from moleflow.config.run import RunConfig
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean

Layer = dict[str, Any]
"""Destination -> value: a knob's flag -> its value, or a slot's field name -> the chosen variant's class.

A slot's name after ``LEFT_OUT`` -> a variant that gives way to the slot's default where it is in force.
"""

LEFT_OUT = "left out of:"
LARGEST = 2**63 - 1
"""Whole numbers beyond it have no place in a tensor or a random generator."""

Meant = TypeVar("Meant")


@dataclass(frozen=True)
class Resolved:
    """A configuration, where each of its values came from, what had to be changed in it, and what it was called.

    ``named`` holds the names given on the command line for "preset" and "ablation", None where none was.
    """

    ablation: AblationConfig
    run: RunConfig
    flags: dict[str, Any]
    sources: dict[str, str]
    warnings: tuple[str, ...] = ()
    named: Mapping[str, str | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object that ``--print_config`` prints."""
        ablation = {
            place.name: {"variant": type(part).__name__, **asdict(part)}
            for place in fields(self.ablation)
            for part in [getattr(self.ablation, place.name)]
        }
        return {"ablation": ablation, "run": asdict(self.run), "flags": self.flags, "sources": self.sources}

    def to_store(self) -> dict[str, Any]:
        """What ``config.json`` holds: the same, and the names."""
        return {**self.to_json(), "named": dict(self.named)}


@cache
def slots() -> dict[str, Field[Any]]:
    """Field name -> slot of the data path."""
    return {place.name: place for place in fields(AblationConfig)}


@cache
def run_groups() -> dict[str, type]:
    """Field name -> group of ``RunConfig``."""
    return {group.name: type(getattr(RunConfig(), group.name)) for group in fields(RunConfig)}


@cache
def owners() -> dict[str, list[tuple[str | None, Knob]]]:
    """Flag -> the (slot or None, knob) pairs it sets; variants of one slot may share a flag."""
    table: dict[str, list[tuple[str | None, Knob]]] = {}
    for name, place in slots().items():
        for variant in variants_of(place):
            for one in knobs_of(variant):
                table.setdefault(one.flag, []).append((name, one))
    for group in run_groups().values():
        for one in knobs_of(group):
            table.setdefault(one.flag, []).append((None, one))
    return table


@cache
def switches() -> dict[str, tuple[str, type]]:
    """Flag without a value -> (slot, variant it chooses)."""
    return {
        switch: (name, variant)
        for name, place in slots().items()
        for switch, variant in place.metadata["switches"].items()
    }


@cache
def modes() -> dict[str, tuple[str, Mapping[str, type]]]:
    """Flag with a value -> (slot, variant by value)."""
    return {
        place.metadata["mode"][0]: (name, place.metadata["mode"][1])
        for name, place in slots().items()
        if place.metadata["mode"]
    }


def negation(flag: str) -> str:
    """The opposite spelling of a boolean flag: ``use_x`` <-> ``no_x``, ``x`` -> ``no_x``."""
    if flag.startswith("no_"):
        positive = flag.removeprefix("no_")
        return f"use_{positive}" if f"use_{positive}" in {**owners(), **switches()} else positive
    return "no_" + flag.removeprefix("use_")


def checked(one: Knob, value: Any) -> Any:
    """The value as the knob's type, within its bounds and choices.

    Raises:
        UsageError: it is of another type, out of bounds or not among the choices.
    """
    if one.optional and (value is None or (value == "auto" and one.scalar is not str)):
        return None
    if one.is_tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_scalar(one, item) for item in values)
    return _scalar(one, value)


def _scalar(one: Knob, value: Any) -> Any:
    kind = one.scalar
    right = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not right and not (kind is str and isinstance(value, int | float)):
        raise UsageError(f"--{one.flag} expects {_wanted(one)}, found {_shown(value)}.")
    value = _finite(one, value) if kind is float else kind(value)
    if kind is int and abs(value) > LARGEST:
        raise UsageError(f"--{one.flag} expects {_wanted(one)}, found one that no 64 bits hold.")
    if one.choices and value not in one.choices:
        raise UsageError(f"--{one.flag} expects one of {', '.join(one.choices)}, found {_shown(value)}.")
    if kind in (int, float) and not (one.low is None or one.low <= value):
        raise UsageError(f"--{one.flag} expects {_wanted(one)}, found {value}.")
    if kind in (int, float) and not (one.high is None or value <= one.high):
        raise UsageError(f"--{one.flag} expects {_wanted(one)}, found {value}.")
    return value


def _finite(one: Knob, value: int | float) -> float:
    """The number as a float; JSON, YAML and the command line all have words for those that are none."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UsageError(f"--{one.flag} expects {_wanted(one)}, found one that is not finite.")
    return number


def _shown(value: Any) -> str:
    """A value of any kind, short: a file can nest and repeat it without end."""
    return reprlib.repr(value)


def _wanted(one: Knob) -> str:
    noun = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[one.scalar]
    low = f" of at least {one.low:g}" if one.low is not None else ""
    high = f"{' and' if low else ' of'} at most {one.high:g}" if one.high is not None else ""
    return noun + low + high


def layer_from_flags(flags: Mapping[str, Any], origin: str) -> Layer:
    """Turn flags as written in a preset or a file into a layer.

    Raises:
        UsageError: a flag is unknown (the nearest known one is named) or its value does not fit.
    """
    layer: Layer = {}
    for written, value in flags.items():
        flag = str(written).lstrip("-").replace("-", "_")
        flag = ALIASES.get(flag, flag)
        if flag in SHORTHANDS:
            layer.update(layer_from_flags(_looked_up(flag, value, SHORTHANDS[flag]), origin))
        else:
            layer.update(_entry(flag, value, origin))
    return layer


def _looked_up(flag: str, value: Any, table: Mapping[Any, Meant]) -> Meant:
    if value not in list(table):  # a file's value may be unhashable
        raise UsageError(f"--{flag} expects one of {', '.join(map(str, table))}, found {_shown(value)}.")
    return table[value]


def _entry(flag: str, value: Any, origin: str) -> Layer:
    if flag in modes():
        name, table = modes()[flag]
        return {name: _looked_up(flag, value, table)}
    if flag in switches() and isinstance(value, bool):
        wanted = flag if value else negation(flag)
        return dict([switches()[wanted]]) if wanted in switches() else _left_out(flag)
    if flag in owners():
        return {flag: checked(owners()[flag][0][1], value)}
    if flag.startswith("no_") and negation(flag) in owners() and isinstance(value, bool):
        return {negation(flag): not value}
    if flag.startswith("no_") and negation(flag) in switches() and value is True:
        return _left_out(negation(flag))
    known = [*modes(), *switches(), *owners(), *SHORTHANDS]
    raise UsageError(f"{origin} sets an unknown flag {flag!r}{did_you_mean(flag, known)}")


def _left_out(flag: str) -> Layer:
    name, variant = switches()[flag]
    return {LEFT_OUT + name: variant}


def resolve(layers: Mapping[str, Layer]) -> Resolved:
    """Merge layers, given from the weakest to the strongest, over the defaults.

    Raises:
        UsageError: a flag was set that belongs to a variant that was not chosen, or values contradict each other.
    """
    merged: Layer = {}
    sources: dict[str, str] = {}
    for origin, layer in layers.items():
        layer = {**_given_way(merged, layer), **_selected(layer), **_without_left_out(layer)}
        merged.update(layer)
        sources.update(dict.fromkeys(layer, origin))
    if merged.get("resume") and merged.get("overwrite") and sources["resume"] != sources["overwrite"]:
        merged["resume" if sources["resume"] == "preset" else "overwrite"] = False
    chosen = {name: merged.get(name, type(place.default)) for name, place in slots().items()}
    _refuse_inapplicable(merged, sources, list(layers), chosen)
    ablation = AblationConfig(**{name: _build(variant, merged) for name, variant in chosen.items()})
    run = RunConfig(**{name: _build(group, merged) for name, group in run_groups().items()})
    _refuse_even_kernels(ablation)
    _refuse_uneven_memories(ablation)
    ablation, run, warnings = apply_rules(ablation, run)
    return Resolved(ablation, run, *flat(ablation, run, sources), warnings)


def _given_way(merged: Layer, layer: Layer) -> Layer:
    """The defaults of slots whose variant in force the layer leaves out."""
    left_out = {name.removeprefix(LEFT_OUT): variant for name, variant in layer.items() if name.startswith(LEFT_OUT)}
    return {name: type(slots()[name].default) for name, variant in left_out.items() if merged.get(name) is variant}


def _without_left_out(layer: Layer) -> Layer:
    return {name: value for name, value in layer.items() if not name.startswith(LEFT_OUT)}


def _selected(layer: Layer) -> Layer:
    """The variants that a layer's knobs choose by being given."""
    homes = [home for flag in layer if flag in owners() for home in owners()[flag]]
    return {name: one.owner for name, one in homes if name is not None and one.selects}


def _build(owner: type, values: Layer) -> Any:
    return owner(**{one.name: values[one.flag] for one in knobs_of(owner) if one.flag in values})


def _refuse_inapplicable(merged: Layer, sources: dict[str, str], order: list[str], chosen: dict[str, type]) -> None:
    rank = {origin: place for place, origin in enumerate(order)}
    for flag in [flag for flag in merged if flag in owners()]:
        homes = owners()[flag]
        if any(name is None or chosen[name] is one.owner for name, one in homes):
            continue
        name, one = homes[0]
        assert name is not None
        if rank[sources[flag]] >= rank.get(sources.get(name, ""), -1):
            place = slots()[name]
            raise UsageError(
                f"--{flag} has no effect here: it belongs to {spelling(place, one.owner)}, "
                f"and {spelling(place, chosen[name])} is in force; give one or drop the other."
            )


def _refuse_even_kernels(ablation: AblationConfig) -> None:
    for part in (getattr(ablation, name) for name in slots()):
        kernel = next((one for one in knobs_of(type(part)) if one.name == "kernel"), None)
        if kernel and part.kernel % 2 == 0:
            raise UsageError(f"--{kernel.flag} expects an odd number, found {part.kernel}.")


def _refuse_uneven_memories(ablation: AblationConfig) -> None:
    memory = ablation.patch_memory
    if not isinstance(memory, v.PatchMemory):
        return
    memories = len(memory.poolings)
    for flag, values in (("shallow", memory.shallow), ("directions", memory.directions)):
        if len(values) not in (1, memories):
            raise UsageError(
                f"--patch_memory_{flag} expects one number, or one for each of the {memories} memories of "
                f"--patch_memory_pooling, found {len(values)}."
            )


def flat(ablation: AblationConfig, run: RunConfig, sources: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A configuration as flags, and where the value of each came from: None for a knob of what was not chosen."""
    parts = {name: getattr(ablation, name) for name in slots()}
    flags: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for flag, (name, table) in modes().items():
        flags[flag] = next(value for value, variant in table.items() if variant is type(parts[name]))
        origin[flag] = sources.get(name, "default")
    for flag, (name, variant) in switches().items():
        flags[flag] = type(parts[name]) is variant
        origin[flag] = sources.get(name, "default")
    for flag, homes in owners().items():
        held = [*parts.values(), *(getattr(run, name) for name in run_groups())]
        owner = next((part for part in held for _, one in homes if type(part) is one.owner), None)
        home = next((one for _, one in homes if type(owner) is one.owner), homes[0][1])
        flags[flag] = getattr(owner, home.name) if owner is not None else None
        origin[flag] = sources.get(flag, "default")
    return flags, origin
