"""A folder that scripts/run_accuracy.sh fills, read: its finished runs, backbone by backbone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moleflow.analysis.statistics.finished import FinishedRun, finished_run
from moleflow.utils.errors import MoleflowError, UsageError

PRESET, UNDONE, PEERS, FEW = "preset", "undone", "peers", "fewshot"
"""Folders below a backbone's."""
STREAM = re.compile(r"(?P<order>given|reversed)-s(?P<seed>\d+)")
FEW_STREAM = re.compile(r"n(?P<images>\d+)-s(?P<seed>\d+)")


@dataclass(frozen=True)
class Backbone:
    """What was run on one backbone's features.

    Attributes:
        name: of the backbone.
        preset: the preset's runs, called ORDER-sSEED.
        undone: choice of the preset -> a run without it.
        peers: experiment -> its run.
        few: number of training images -> ``PRESET`` or experiment -> its runs, one a seed.
    """

    name: str
    preset: tuple[FinishedRun, ...]
    undone: Mapping[str, FinishedRun]
    peers: Mapping[str, FinishedRun]
    few: Mapping[int, Mapping[str, tuple[FinishedRun, ...]]]


def read_folder(folder: Path) -> tuple[list[Backbone], list[str]]:
    """The backbones whose preset was run, and a sentence on each run that cannot be read or is not finished.

    Raises:
        UsageError: there is none.
    """
    trouble: list[str] = []
    names = sorted({place.parent.name for place in folder.glob(f"*/{PRESET}")}, reverse=True)
    found = [_backbone(folder / name, trouble) for name in names]
    kept = [one for one in found if one.preset]
    if not kept:
        raise UsageError(
            f"expected finished runs in {folder}/BACKBONE/{PRESET}/ORDER-sSEED, found none{_listed(trouble)}: "
            "scripts/run_accuracy.sh makes them"
        )
    return kept, trouble


def _backbone(place: Path, trouble: list[str]) -> Backbone:
    preset = [one for one in sorted((place / PRESET).glob("*")) if STREAM.fullmatch(one.name)]
    undone = sorted((place / UNDONE).glob("*"))
    peers = sorted(one.parent for one in (place / PEERS).glob("*/run"))
    streams = _runs({one.name: one for one in preset}, trouble)
    return Backbone(
        place.name, tuple(streams.values()), _runs({one.name: one for one in undone}, trouble),
        _runs({one.name: one / "run" for one in peers}, trouble), _few(place / FEW, trouble),
    )  # fmt: skip


def _few(place: Path, trouble: list[str]) -> dict[int, dict[str, tuple[FinishedRun, ...]]]:
    found: dict[int, dict[str, tuple[FinishedRun, ...]]] = {}
    for folder in sorted(place.glob("n*-s*")):
        match = FEW_STREAM.fullmatch(folder.name)
        places = {one.parent.name: one for one in folder.glob("*/run")}
        if (folder / PRESET).is_dir():
            places[PRESET] = folder / PRESET
        if match:
            for method, run in _runs(places, trouble).items():
                methods = found.setdefault(int(match["images"]), {})
                methods[method] = (*methods.get(method, ()), run)
    return dict(sorted(found.items()))


def _runs(places: Mapping[str, Path], trouble: list[str]) -> dict[str, FinishedRun]:
    """Those that are finished; what is said of the others goes to ``trouble``."""
    runs = {}
    for name, place in places.items():
        try:
            runs[name] = finished_run(place, name)
        except MoleflowError as error:
            trouble.append(f"{place}: {error}")
    return runs


def _listed(trouble: Sequence[str]) -> str:
    return f" ({'; '.join(trouble)})" if trouble else ""
