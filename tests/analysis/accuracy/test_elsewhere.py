"""What a class gets from the setting that the other classes choose: counted by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from moleflow.analysis.accuracy.elsewhere import chosen_elsewhere, elsewhere_table
from moleflow.analysis.accuracy.values import MEAN


def run(**values: tuple[float, float | None]) -> Any:
    """A run with image AUROC and pixel AP of each class."""
    rows = {name: {"image_auroc": pair[0], "pixel_ap": pair[1]} for name, pair in values.items()}
    return SimpleNamespace(name="given-s0", record={"seed": 0}, results={"per_class": rows})


PRESET = run(a=(0.9, 0.5), b=(0.8, 0.5), c=(0.7, None))
OTHER = run(a=(0.6, 0.6), b=(0.9, 0.7), c=(0.9, None))
"""Better on b and c, worse on a: b and c choose it for a, and where a has a say the preset stays."""


def table(**undone: Any) -> list[dict[str, object]]:
    found = elsewhere_table([SimpleNamespace(name="lite", preset=[PRESET], undone=undone)])  # type: ignore[list-item]
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_a_class_has_no_say_in_its_own_setting():
    known = {"preset": {"a": 0.9, "b": 0.8, "c": 0.7}, "other": {"a": 0.6, "b": 0.9, "c": 0.9}}
    assert [chosen_elsewhere(known, name) for name in "abc"] == ["other", "preset", "preset"]


def test_rows_hold_what_was_chosen_what_it_gives_and_what_there_was():
    rows = [row for row in table(no_ramp=OTHER) if row["metric"] == "image AUROC"]
    assert [row["class"] for row in rows] == ["a", "b", "c", MEAN]
    assert rows[0]["chosen elsewhere"] == "no_ramp"
    assert [rows[0][name] for name in ("its value", "the preset's", "the best here")] == pytest.approx([60, 90, 90])
    assert [rows[1][name] for name in ("its value", "the preset's", "the best here")] == pytest.approx([80, 80, 90])
    assert [rows[3][name] for name in ("its value", "the preset's", "the best here")] == pytest.approx([70, 80, 90])


def test_a_class_without_masks_is_no_part_of_pixel_ap():
    rows = [row for row in table(no_ramp=OTHER) if row["metric"] == "pixel AP"]
    assert [row["class"] for row in rows] == ["a", "b", MEAN]
    assert [row["chosen elsewhere"] for row in rows] == ["no_ramp", "no_ramp", None]


def test_without_choices_or_fellows_there_is_nothing_to_say():
    assert table() == []
    alone = SimpleNamespace(name="lite", preset=[run(a=(0.9, 0.5))], undone={"no_ramp": run(a=(0.6, 0.6))})
    assert elsewhere_table([alone]).rows == ()  # type: ignore[list-item]
