"""documents/baselines.md is what its sources say, and has a card for every name."""

import json
from pathlib import Path

import pytest
from test_experiments import row

from moleflow.baselines.cards import CARDS
from moleflow.experiments.kinds import FLOWS
from moleflow.experiments.page import MEASURED, PAGE, SAID, page, update_page
from moleflow.utils.errors import UsageError

DOCUMENTS = Path(__file__).resolve().parents[2] / "documents"


def test_the_page_is_up_to_date():
    measured = json.loads((DOCUMENTS / MEASURED).read_text())["backbones"]
    assert (DOCUMENTS / PAGE).read_text() == page(measured, (DOCUMENTS / SAID).read_text())


def test_every_name_has_a_card():
    text = page({})
    for name in (*CARDS, *FLOWS):
        assert f"| `{name}` |" in text
    assert "not run here: DINOv2's weights cannot be had offline" in text


def test_new_rows_replace_old_ones_of_their_name(tmp_path: Path):
    def measure(auroc: float, *names: str) -> None:
        rows = [{**row(name, "padim", auroc), "seed": 0} for name in names]
        (tmp_path / "out" / "lite0").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "lite0" / "comparison.json").write_text(json.dumps(rows))
        update_page(tmp_path, tmp_path / "out")

    measure(0.5, "a", "b")
    measure(0.75, "b")
    rows = json.loads((tmp_path / MEASURED).read_text())["backbones"]["lite0"]
    assert [(one["name"], one["image_auroc"]) for one in rows] == [("a", 0.5), ("b", 0.75)]
    text = (tmp_path / PAGE).read_text()
    assert "lite0: 50.0 / –; lite0: 75.0 / –" in text
    assert text.index("| PaDiM | 75.0") < text.index("| PaDiM | 50.0")


def test_a_folder_without_experiments_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"run scripts/peers\.sh first"):
        update_page(tmp_path, tmp_path)
