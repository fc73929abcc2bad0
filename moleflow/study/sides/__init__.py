"""Side studies: one question a file, asked of few training images so that all of them take minutes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from moleflow.study.bench import Bench
from moleflow.study.layout import RESULT, STUDY, side
from moleflow.study.sides.aggregation import aggregation
from moleflow.study.sides.attention import attention
from moleflow.study.sides.common import Content
from moleflow.study.sides.confusion import confusion
from moleflow.study.sides.coreset import coreset
from moleflow.study.sides.embeddings import embeddings
from moleflow.study.sides.generalisation import generalisation
from moleflow.study.sides.latency import latency
from moleflow.study.sides.layers import layers
from moleflow.study.sides.projection import projection
from moleflow.study.sides.regions import regions
from moleflow.utils.io import read_json, write_json

SIDES: Mapping[str, Callable[[Bench, Path], Content]] = {
    "embeddings": embeddings, "attention": attention, "latency": latency, "regions": regions,
    "aggregation": aggregation, "confusion": confusion, "projection": projection, "coreset": coreset, "layers": layers,
    "generalisation": generalisation,
}  # fmt: skip
"""Name -> what measures it, given the bench and the study's folder; quick ones first."""

WITH_PATCHCORE = ("aggregation", "confusion", "projection", "coreset", "layers")
"""Those that fit one."""


OF_SEVERITIES = ("embeddings", "confusion")
OF_METHODS = ("latency", "regions", "generalisation")
"""Those that look at severities, or at these and at methods: they are measured anew once the study has others."""


def sides_left(out: Path, names: Sequence[str]) -> list[str]:
    """Side studies that are not done, or not of the methods and severities that the study has now."""
    return [name for name in SIDES if name in names and not _done(out, name)]


def run_side(name: str, bench: Bench, out: Path) -> None:
    """Measure one and write its ``result.json``, last."""
    write_json(side(out, name) / RESULT, {**_asked(out), **SIDES[name](bench, out)})


def _done(out: Path, name: str) -> bool:
    file = side(out, name) / RESULT
    if not file.exists():
        return False
    stored, asked = read_json(file), _asked(out)
    keys = asked if name in OF_METHODS else {"severities"} if name in OF_SEVERITIES else ()
    return all(stored[key] == asked[key] for key in keys)


def _asked(out: Path) -> Content:
    study = read_json(out / STUDY)
    return {key: study[key] for key in ("methods", "severities")}
