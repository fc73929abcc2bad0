"""JSON and YAML files that remember on which line everything stands."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

from moleflow.utils.errors import UsageError

Place = tuple[str | int, ...]
"""Keys and numbers of items from the root to a value."""

EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")
"""What YAML 1.1 takes for a text, and people for a number: 1e-4."""


class Located(NamedTuple):
    """A file's content.

    Attributes:
        path: the file.
        content: what it holds.
        lines: where each value's key (or the item itself) stands, from 1.
    """

    path: Path
    content: Any
    lines: dict[Place, int]

    def refuse(self, place: Place, sentence: str) -> NoReturn:
        """Say what is wrong, and on which line.

        Raises:
            UsageError: always.
        """
        known = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in self.lines)
        raise UsageError(f"{self.path}, line {self.lines[known]}: {sentence}")


def read_located(path: Path) -> Located:
    """Read a JSON (by its ending) or YAML file.

    Raises:
        UsageError: it cannot be read, is no JSON or YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    try:
        content = json.loads(text) if path.suffix == ".json" else _numbers(yaml.safe_load(text))
        node = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}: no JSON ({error.msg}).") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UsageError(f"{path}{where}: no YAML ({reason}).") from error
    found = Located(path, content, {(): 1})
    if node is not None:
        _locate(node, (), found)
    return found


def _locate(node: yaml.Node, place: Place, found: Located) -> None:
    children: Sequence[tuple[Place, yaml.Node, yaml.Node]] = ()
    if isinstance(node, yaml.MappingNode):
        children = [((*place, key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [((*place, number), item, item) for number, item in enumerate(node.value)]
    for inner, key, value in children:
        if inner in found.lines:
            found.lines[inner] = key.start_mark.line + 1
            found.refuse(inner, f"{inner[-1]!r} is given twice; keep one.")
        found.lines[inner] = key.start_mark.line + 1
        _locate(value, inner, found)


def _numbers(value: Any) -> Any:
    """The content with 1e-4 a number."""
    match value:
        case str() if EXPONENT.fullmatch(value):
            return float(value)
        case dict():
            return {key: _numbers(inner) for key, inner in value.items()}
        case list():
            return [_numbers(inner) for inner in value]
    return value
