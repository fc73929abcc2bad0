"""The flat command line: one flag per field of the configuration, built from the fields themselves."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from moleflow.config.knobs import Knob, variants_of
from moleflow.config.presets import ABLATIONS, ALIASES, PRESETS, SHORTHANDS
from moleflow.config.resolve import (
    LEFT_OUT,
    Layer,
    Resolved,
    layer_from_flags,
    negation,
    owners,
    resolve,
    run_groups,
    slots,
    switches,
)
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean

CHOSEN = "chosen:"
"""What the parser puts before a slot's name, to tell the slot ``router`` from the flag ``--router``."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are ``UsageError``s."""

    def error(self, message: str) -> NoReturn:
        """Raise the complaint as one sentence."""
        raise UsageError(message[:1].upper() + message[1:] + ("" if message.endswith((".", "?")) else "."))


def build_parser() -> Parser:
    """A parser with one group for each slot of the data path and for each part of the run."""
    parser = Parser(
        prog="run_moleflow.py",
        description="Train and evaluate MoLE-Flow on a stream of products. Without any flag: the demo.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=36, width=110),
    )
    many = parser.add_argument_group("many at once", "explicit flags > --config > --ablation > --preset > defaults")
    many.add_argument("--preset", choices=PRESETS, help="a named setting: " + ", ".join(PRESETS))
    many.add_argument("--ablation", metavar="NAME", help="a row of the ablation table: " + ", ".join(ABLATIONS))
    many.add_argument("--config", metavar="FILE.yaml", help="a file of flags: values")
    for flag, table in SHORTHANDS.items():
        _add_shorthand(many, flag, table)
    many.add_argument("--print_config", action="store_true", help="print the resolved configuration and exit")
    for title, names in run_groups().items():
        _add_knobs(parser.add_argument_group(title, (names.__doc__ or "").strip()), names)
    for name in slots():
        _add_slot(parser, name)
    return parser


def _add_shorthand(group: argparse._ArgumentGroup, flag: str, table: dict[Any, dict[str, Any]]) -> None:
    spelled = {
        value: " ".join(f"--{name} {setting}" for name, setting in flags.items()) for value, flags in table.items()
    }
    if True in table:
        group.add_argument(f"--{flag}", action="store_true", help=f"stands for {spelled[True]}")
    else:
        meaning = "; ".join(f"{value}: {words}" for value, words in spelled.items())
        group.add_argument(f"--{flag}", choices=table, help=f"stands for {meaning}")


def _add_slot(parser: Parser, name: str) -> None:
    place = slots()[name]
    group = parser.add_argument_group(f"{name} ({place.metadata['help']})")
    if place.metadata["mode"]:
        flag, table = place.metadata["mode"]
        default = next(value for value, variant in table.items() if isinstance(place.default, variant))
        group.add_argument(f"--{flag}", choices=table, help=f"which one (default: {default})")
    for switch, variant in place.metadata["switches"].items():
        sentence = (variant.__doc__ or "").splitlines()[0]
        suffix = " (default)" if isinstance(place.default, variant) else ""
        group.add_argument(f"--{switch}", dest=switch, action=_Choose, slot=(name, variant), help=sentence + suffix)
        if switch.startswith("use_") and negation(switch) not in switches():
            group.add_argument(f"--{negation(switch)}", action=_LeaveOut, slot=(name, variant), help=argparse.SUPPRESS)
    seen: set[str] = set()
    for variant in variants_of(place):
        seen |= _add_knobs(group, variant, skip=seen)


class _Choose(argparse.Action):
    """A switch: puts its variant into its slot; the last one on the line wins."""

    def __init__(self, slot: tuple[str, type], **kwargs: Any):
        super().__init__(nargs=0, **kwargs)
        self.slot = slot

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, CHOSEN + self.slot[0], self.slot[1])


class _LeaveOut(_Choose):
    """The opposite of a switch: where its variant is in force, the slot's default takes its place."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        name, variant = self.slot
        if getattr(namespace, CHOSEN + name, None) is variant:
            delattr(namespace, CHOSEN + name)
        setattr(namespace, CHOSEN + LEFT_OUT + name, variant)


def _add_knobs(group: argparse._ArgumentGroup, owner: type, skip: set[str] | None = None) -> set[str]:
    added = set()
    for flag, homes in owners().items():
        for _, one in homes:
            if one.owner is owner and flag not in (skip or ()):
                _add_knob(group, one)
                added.add(flag)
    return added


def _add_knob(group: argparse._ArgumentGroup, one: Knob) -> None:
    names = [f"--{one.flag}", *(f"--{old}" for old, new in ALIASES.items() if new == one.flag)]
    shown = " ".join(map(str, one.default)) if one.is_tuple else one.default
    sentence = one.help.replace("%", "%%") + ("" if one.default in (None, ()) else f" (default: {shown})")
    if one.scalar is bool:
        group.add_argument(*names, dest=one.flag, action="store_true", help=sentence)
        group.add_argument(f"--{negation(one.flag)}", dest=one.flag, action="store_false", help=argparse.SUPPRESS)
        return
    metavar = None if one.choices else one.scalar.__name__.upper()
    kind = _or_auto(one.scalar) if one.optional and one.scalar is not str else one.scalar
    group.add_argument(
        *names, dest=one.flag, type=kind, nargs="+" if one.is_tuple else None, choices=one.choices,
        metavar=metavar, help=sentence,
    )  # fmt: skip


def _or_auto(kind: type) -> Callable[[str], Any]:
    def read(word: str) -> Any:
        return word if word == "auto" else kind(word)

    read.__name__ = kind.__name__
    return read


def parse(argv: Sequence[str] | None = None) -> tuple[Resolved, bool]:
    """Read a command line.

    Args:
        argv: the words after the program's name (default: this process's).

    Returns:
        The resolved configuration, and whether it is only to be printed.

    Raises:
        UsageError: an unknown flag (the nearest one is named), a value out of bounds, a flag without effect.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    known, unknown = parser.parse_known_args(words)
    if unknown:
        options = [name for action in parser._actions for name in action.option_strings]
        raise UsageError(f"Unknown argument {unknown[0]!r}{did_you_mean(unknown[0], options)}")
    given = vars(known)
    print_only = given.pop("print_config", False)
    preset = given.pop("preset", None if given or set(words) - {"--print_config"} else "demo")
    ablation = given.pop("ablation", None)
    resolved = resolve(_layers(preset, ablation, given.pop("config", None), given))
    return replace(resolved, named={"preset": preset, "ablation": ablation}), print_only


def _layers(preset: str | None, ablation: str | None, config: str | None, given: dict[str, Any]) -> dict[str, Layer]:
    layers: dict[str, Layer] = {}
    if preset:
        layers["preset"] = layer_from_flags({"experiment_name": None, **PRESETS[preset].flags}, f"preset {preset}")
    if ablation:
        if ablation not in ABLATIONS:
            hint = did_you_mean(ablation, ABLATIONS)
            raise UsageError(f"Unknown ablation {ablation!r}{hint} The rows are: {', '.join(ABLATIONS)}.")
        layers["ablation"] = layer_from_flags(ABLATIONS[ablation].flags, f"ablation {ablation}")
    if config:
        layers["config"] = layer_from_flags(read_config_file(Path(config)), config)
    layers["cli"] = _cli_layer(given)
    return layers


def _cli_layer(given: dict[str, Any]) -> Layer:
    chosen = {name.removeprefix(CHOSEN): variant for name, variant in given.items() if name.startswith(CHOSEN)}
    plain = {flag: value for flag, value in given.items() if not flag.startswith(CHOSEN)}
    return {**layer_from_flags(plain, "The command line"), **chosen}


def read_config_file(path: Path) -> dict[str, Any]:
    """The flags in a YAML file.

    Raises:
        UsageError: the file is missing, is not YAML, or is not a flat mapping of flags to values.
    """
    import yaml

    try:
        flags = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"The config file {path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(flags, dict):
        raise UsageError(
            f"The config file {path} should map flags to values, like 'lr: 0.001'; found {type(flags).__name__}."
        )
    return flags


def print_config(resolved: Resolved) -> None:
    """Print the resolved configuration as one JSON object."""
    print(json.dumps(resolved.to_json(), indent=2))
