"""What a class gets from the setting that its fellow classes pick: its own labels have no say in that pick."""

from collections.abc import Mapping, Sequence

import numpy as np

from moleflow.analysis.accuracy.folder import PRESET, Backbone
from moleflow.analysis.accuracy.tables import COMPARED, first_of
from moleflow.analysis.accuracy.values import MEAN
from moleflow.analysis.tables import Cell, Table

Known = Mapping[str, Mapping[str, float]]
"""Setting -> class -> value, of the same classes for every setting."""


def elsewhere_table(backbones: Sequence[Backbone]) -> Table:
    """A row for each class and metric: the setting best on all other classes, and what it gives here."""
    rows = [
        (one.name, title, *row)
        for one in backbones if one.undone
        for metric, title in COMPARED.items() for row in _rows(_known(one, metric))
    ]  # fmt: skip
    note = (
        "Settings: the preset and the same less one of its choices, first seed, order given. Chosen elsewhere: the "
        "setting with the best mean over all other classes. The class's own labels have no say in that pick; which "
        "settings there are to pick from may well rest on them."
    )
    columns = ("backbone", "metric", "class", "chosen elsewhere", "its value", "the preset's", "the best here")
    return Table("Chosen by the other classes", columns, tuple(rows), note)


def chosen_elsewhere(known: Known, name: str) -> str:
    """The setting with the best mean over all classes but one; of equals the first."""
    return max(known, key=lambda setting: float(np.mean([v for other, v in known[setting].items() if other != name])))


def _known(one: Backbone, metric: str) -> dict[str, dict[str, float]]:
    runs = {PRESET: first_of(one), **one.undone}
    values = {setting: {c: row[metric] for c, row in run.results["per_class"].items()} for setting, run in runs.items()}
    classes = [c for c in values[PRESET] if all(own.get(c) is not None for own in values.values())]
    return {setting: {c: own[c] for c in classes} for setting, own in values.items()}


def _rows(known: Known) -> list[tuple[Cell, ...]]:
    """One a class, and their means; none where a class has no fellows."""
    classes = list(known[PRESET])
    if len(classes) < 2:
        return []
    chosen = {name: chosen_elsewhere(known, name) for name in classes}
    values = {
        name: (known[chosen[name]][name], known[PRESET][name], max(own[name] for own in known.values()))
        for name in classes
    }
    rows: list[tuple[Cell, ...]] = [(name, chosen[name], *map(_percent, values[name])) for name in classes]
    return [*rows, (MEAN, None, *map(_percent, np.mean(list(values.values()), axis=0)))]


def _percent(share: float) -> float:
    return 100 * float(share)
