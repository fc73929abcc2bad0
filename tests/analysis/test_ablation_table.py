"""documents/ablations.md says what the tables say, and is not stale."""

import re
from pathlib import Path

import pytest

from moleflow.analysis.ablation_table import (
    CONCLUSIONS,
    MEASURED,
    ablations_page,
    update_documents,
    with_history,
    words,
)
from moleflow.config.ablations import ABLATIONS
from moleflow.config.cli import parse
from moleflow.config.components import COMPONENTS, SECTIONS
from moleflow.config.history import VERSIONS
from moleflow.config.resolve import layer_from_flags, resolve
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "documents"
STALE = "run `python scripts/make_ablation_table.py`"
UNNAMED = {"E3", "F8", "G1"}
"""Components whose file holds more than the one formula and does not name it."""


def entry(auroc: float, ap: float | None, std: float | None = 0.01) -> dict:
    """A row of the measured file."""
    number = lambda value, spread: {"mean": value, "std": spread, "n": 3}
    return {
        "seeds": [0, 1, 2], "image_auroc": number(auroc, std), "pixel_ap": None if ap is None else number(ap, std),
        "routing_accuracy": number(1.0, 0.0), "fm": number(0.0, 0.0), "params_per_task": number(123456.0, 0.0),
        "seconds_per_task": number(40.0, 2.0),
    }  # fmt: skip


def measured(**rows: dict) -> dict:
    setting = {"task_classes": ["screw", "cookie"], "backbone_name": "lite0", "img_size": 256, "num_steps": 100}
    return {"setting": setting, "rows": {"full": entry(0.9, 0.3), **rows}}


def test_the_documents_are_not_stale():
    held = read_json(DOCUMENTS / MEASURED) if (DOCUMENTS / MEASURED).exists() else None
    said = (DOCUMENTS / CONCLUSIONS).read_text()
    assert (DOCUMENTS / "ablations.md").read_text() == ablations_page(held, said), STALE
    reproduce = (DOCUMENTS / "reproduce.md").read_text()
    assert reproduce == with_history(reproduce), STALE


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_names_a_file_that_is_there_and_flags_that_parse(name):
    part = COMPONENTS[name]
    assert name[0] in SECTIONS
    assert set(part.rows) <= set(ABLATIONS)
    if part.file:
        text = (ROOT / "moleflow" / part.file).read_text(encoding="utf-8")
        assert re.search(rf"\b{name}\b", text) or name in UNNAMED, f"{part.file} does not say that it holds {name}"
    if part.flags:
        parse(part.flags.split())


def test_every_component_of_the_specification_is_there():
    counts = {"E": 5, "I": 2, "P": 6, "A": 6, "X": 7, "F": 13, "D": 1, "L": 8, "O": 4, "S": 8, "V": 6, "R": 6, "G": 1}
    expected = [f"{letter}{number}" for letter, count in counts.items() for number in range(1, count + 1)]
    assert sorted(COMPONENTS) == sorted(expected)
    assert set(counts) == set(SECTIONS)


@pytest.mark.parametrize("name", ABLATIONS)
def test_the_words_of_a_row_mean_the_row(name):
    spelled = parse(["--seed", "0", *words(ABLATIONS[name].flags).split()])[0]
    row = resolve({"ablation": layer_from_flags(ABLATIONS[name].flags, name), "cli": {"seed": 0}})
    assert (spelled.ablation, spelled.run) == (row.ablation, row.run)


def test_the_default_parts_are_marked_and_are_the_default():
    default = parse(["--seed", "0"])[0].ablation
    marked = [part for part in COMPONENTS.values() if "(default" in part.title]
    assert len(marked) >= 10
    for part in marked:
        assert parse(["--seed", "0", *part.flags.split()])[0].ablation == default, part.title


def test_measured_numbers_stand_beside_their_component_and_row():
    page = ablations_page(measured(wo_dia=entry(0.85, 0.32), wo_tail=entry(0.9, None, None)))
    cell = "85.0 ± 1.0 / 32.0 ± 1.0 (−5.0 / +2.0)"
    assert re.search(rf"^\| D1 .*`wo_dia` {re.escape(cell)} \|$", page, re.M)
    assert re.search(rf"^\| `wo_dia` .*{re.escape(cell)} \| 0.0 ± 0.0 \| 123k \| 40.0 ± 2.0 \|$", page, re.M)
    assert "90.0 / – (0.0 / –)" in page or "90.0 / – (+0.0 / –)" in page
    assert "90.0 ± 1.0 / 30.0 ± 1.0" in page
    assert "seeds 0, 1, 2" in page
    assert re.search(r"^\| `wo_lora` .*\| – \| – \| – \| – \|$", page, re.M)


def test_every_row_and_component_is_on_the_page_and_tables_are_whole():
    page = ablations_page(None)
    assert "Nothing has been measured yet" in page
    assert set(ABLATIONS) <= set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert set(COMPONENTS) <= set(re.findall(r"^\| ([A-Z]\d+) ", page, re.M))
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1


def test_documents_are_written_in_place_and_a_missing_mark_is_one_sentence(tmp_path):
    text = (DOCUMENTS / "reproduce.md").read_text()
    (tmp_path / "reproduce.md").write_text(re.sub(r"\| `v1` .*\n", "", text))
    update_documents(tmp_path)
    assert (tmp_path / "reproduce.md").read_text() == text
    assert all(f"| `{name}` |" in text for name in VERSIONS)
    (tmp_path / "reproduce.md").write_text("no mark")
    with pytest.raises(MoleflowError, match="no place for the history"):
        update_documents(tmp_path)
