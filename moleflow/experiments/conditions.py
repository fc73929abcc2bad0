"""From a file of experiments to experiments that can be run; what is wrong is said, with its line, before anything is.

    {"defaults": {…},                                            optional: settings of all
     "experiment_conditions": [{"name": …, "description": …,
                                "config": {"model_type": …, "source_domain": …, "max_epochs": …, …}}]}

A config holds ``model_type``; settings under the names that files of this form use (``SPELLINGS``); options of the
model; and flags of run_moleflow.py, among them ``preset`` and ``ablation``.
"""

import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin

from moleflow.baselines.base import FEATURES
from moleflow.baselines.registry import PEERS, TRAINING, options_of
from moleflow.baselines.training import Training
from moleflow.config.presets import ABLATIONS, ALIASES, PRESETS
from moleflow.config.resolve import Resolved, layer_from_flags, modes, owners, resolve, switches
from moleflow.experiments.kinds import FLOWS, MODELS
from moleflow.experiments.located import Located, Place, read_located
from moleflow.utils.errors import UsageError
from moleflow.utils.text import did_you_mean

PRESET = "realstream"
"""Where an experiment names none."""
TOP, ENTRY = ("defaults", "experiment_conditions"), ("name", "description", "config")
NAME = re.compile(r"[\w.+-]+")

SPELLINGS = {
    "source_domain": "task_classes", "max_epochs": "num_epochs", "learning_rate": "lr", "image_size": "img_size",
    "encoder_name": "backbone_name", "target_layers": "cnn_layers",
}  # fmt: skip
"""A setting's name in files of this form -> the flag that it is, where the model has no option of that name."""
IDLE = ("early_stopping_patience", "max_seconds")
"""What only peers that are trained look at."""
ENCODER = ("encoder_name", "target_layers")
STREAMS_OWN = ("img_size", "seed")
"""Options of peers that are flags of the stream."""


@dataclass(frozen=True)
class Experiment:
    """One line of the table.

    Attributes:
        name: its folder.
        description: what people say of it.
        model: one of ``MODELS``.
        resolved: data, stream, features, and for flows everything.
        options: of the peer.
        notes: sentences on what was given and has no effect.
    """

    name: str
    description: str
    model: str
    resolved: Resolved
    options: dict[str, Any]
    notes: tuple[str, ...]


def read_experiments(path: Path, flags: Mapping[str, Any] | None = None) -> list[Experiment]:
    """All experiments of a file.

    Args:
        path: JSON or YAML.
        flags: of run_moleflow.py, stronger than the file; ``preset`` may be among them.

    Raises:
        UsageError: something in it is wrong; the sentence names the line.
    """
    file = read_located(path)
    entries, defaults = _parts(file)
    found = [_experiment(file, number, entry, defaults, flags or {}) for number, entry in enumerate(entries)]
    seen: dict[str, int] = {}
    for number, experiment in enumerate(found):
        if experiment.name in seen:
            file.refuse(("experiment_conditions", number, "name"), f"the name {experiment.name!r} is taken already.")
        seen[experiment.name] = number
    return found


def _parts(file: Located) -> tuple[list[Any], dict[str, Any]]:
    content = file.content
    if not isinstance(content, dict) or not isinstance(content.get("experiment_conditions"), list):
        file.refuse((), "expected a mapping with a list 'experiment_conditions'.")
    _refuse_unknown(file, (), content, TOP)
    if not content["experiment_conditions"]:
        file.refuse(("experiment_conditions",), "it lists no experiment.")
    defaults = content.get("defaults", {})
    if not isinstance(defaults, dict):
        file.refuse(("defaults",), "expected a mapping of settings.")
    return content["experiment_conditions"], defaults


def _experiment(
    file: Located, number: int, entry: Any, defaults: Mapping[str, Any], stronger: Mapping[str, Any]
) -> Experiment:
    place: Place = ("experiment_conditions", number)
    if not isinstance(entry, dict):
        file.refuse(place, "expected a mapping with name and config.")
    _refuse_unknown(file, place, entry, ENTRY)
    name, config = entry.get("name"), entry.get("config")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name.startswith("."):
        file.refuse((*place, "name"), f"expected a name of letters, digits, '.', '_', '+', '-', found {name!r}.")
    if not isinstance(config, dict):
        file.refuse((*place, "config"), f"the experiment {name!r} needs a mapping 'config'.")
    settings = {**defaults, **config}
    model = settings.pop("model_type", None)
    if model not in MODELS:
        found = f"unknown model_type {model!r}, expected one of {', '.join(MODELS)}"
        file.refuse((*place, "config", "model_type"), found + did_you_mean(str(model), MODELS))
    sorted_out = _Settings(file, place, model, {key: value for key, value in defaults.items() if key not in config})
    for key, value in settings.items():
        sorted_out.add(key, value)
    resolved = sorted_out.resolved(stronger)
    notes = tuple(sorted_out.notes)
    return Experiment(name, str(entry.get("description", "")), model, resolved, sorted_out.options, notes)


class _Settings:
    """The settings of one experiment, each where it belongs.

    Attributes:
        options: of the peer.
        flags: of run_moleflow.py.
        notes: on what has no effect.

    Args:
        file: for its lines.
        place: of the experiment in it.
        model: what it is of.
        shared: settings that the file gives all experiments: what has no effect there is no mistake.
    """

    def __init__(self, file: Located, place: Place, model: str, shared: Mapping[str, Any]):
        self.file, self.place, self.model, self.shared = file, place, model, shared
        self.takes = {} if model in FLOWS else _types(model)
        self.options: dict[str, Any] = {}
        self.flags: dict[str, Any] = {}
        self.notes: list[str] = []

    def add(self, key: str, value: Any) -> None:
        """Put one setting where it belongs.

        Raises:
            UsageError: it is unknown, or its value does not fit.
        """
        flag = ALIASES.get(SPELLINGS.get(key, key), SPELLINGS.get(key, key))
        if key in self.takes and key not in STREAMS_OWN:
            self._check_option(key, value)
            self.options[key] = value
        elif self._has_no_effect(key):
            self._note(key)
        elif flag in _known_flags():
            self.flags[flag] = _side(value) if flag == "img_size" else value
            self._check_flag(key, flag)
        else:
            known = [*self.takes, *SPELLINGS, *_known_flags()]
            self._refuse(key, f"unknown setting {key!r} of {self.model}{did_you_mean(key, known)}")

    def resolved(self, stronger: Mapping[str, Any]) -> Resolved:
        """Preset, ablation and the model's own flags, then the file's, then stronger ones.

        Raises:
            UsageError: they contradict each other.
        """
        flags, stronger = dict(self.flags), dict(stronger)
        preset, ablation = flags.pop("preset", PRESET), flags.pop("ablation", None)
        preset = stronger.pop("preset", preset)
        layers: dict[str, Mapping[str, Any]] = {
            "preset": {**PRESETS[preset].flags, "experiment_name": None},
            "ablation": ABLATIONS[ablation].flags if ablation else {},
            "model": FLOWS[self.model].flags if self.model in FLOWS else {},
            "config": flags,
            "cli": stronger,
        }
        try:
            return resolve({origin: layer_from_flags(layer, origin) for origin, layer in layers.items()})
        except UsageError as error:
            return self.file.refuse(self.place, str(error))

    def _check_option(self, key: str, value: Any) -> None:
        if not _fits(value, self.takes[key]):
            self._refuse(key, f"{key} of {self.model} has a wrong value: {value!r}.")

    def _check_flag(self, key: str, flag: str) -> None:
        tables: dict[str, Mapping[str, Any]] = {"preset": PRESETS, "ablation": ABLATIONS}
        value = self.flags[flag]
        if flag in tables and value not in tables[flag]:
            self._refuse(key, f"unknown {flag} {value!r}{did_you_mean(str(value), tables[flag])}")
        try:
            layer_from_flags({flag: value} if flag not in tables else {}, "config")
        except UsageError as error:
            self._refuse(key, str(error))

    def _has_no_effect(self, key: str) -> bool:
        """Whether the model does not look at a setting that others have."""
        if self.model in FLOWS:
            return key in IDLE
        blind = getattr(PEERS[self.model].make, "sees", FEATURES) != FEATURES and "backbone" not in self.takes
        return key in TRAINING or (blind and key in ENCODER)

    def _note(self, key: str) -> None:
        if key in self.shared:
            return
        if key in ENCODER:
            self._refuse(key, f"{self.model} has no {key!r}: its networks are its own; leave it out.")
        self.notes.append(f"{self.model} does not look at {key}.")

    def _refuse(self, key: str, sentence: str) -> NoReturn:
        self.file.refuse(("defaults", key) if key in self.shared else (*self.place, "config", key), sentence)


def _types(model: str) -> dict[str, Any]:
    """Option of a peer -> what its value must be."""
    signature = inspect.signature(PEERS[model].make, eval_str=True)
    known = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    known |= {field.name: field.type for field in fields(Training)}
    return {name: known[name] for name in options_of(model)}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of a file is of a kind, as a signature says it."""
    if get_origin(kind) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(kind))
    if get_origin(kind) is not None:  # Sequence[…]
        return isinstance(value, Sequence) and not isinstance(value, str) and all(
            _fits(item, get_args(kind)[0]) for item in value
        )  # fmt: skip
    if kind is type(None) or kind is None:
        return value is None
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if kind is float else kind)


def _side(value: Any) -> Any:
    """The side in ``224x224``; anything else as it is, to be refused as what it is."""
    match = re.fullmatch(r"(\d+)x(\d+)", str(value))
    return int(match[1]) if match and match[1] == match[2] else value


@cache
def _known_flags() -> set[str]:
    return {"preset", "ablation", *modes(), *switches(), *owners()}


def _refuse_unknown(file: Located, place: Place, found: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in found:
        if key not in known:
            file.refuse((*place, key), f"unknown {key!r}, expected some of {', '.join(known)}"
                        f"{did_you_mean(str(key), known)}")  # fmt: skip
