"""What choices are worth inside: effects and intervals on made-up runs, and the script."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests" / "analysis" / "statistics"), str(ROOT / "scripts")]

import analyze_choices  # noqa: E402
from scored_runs import CLASSES, kept, write_scored_run  # noqa: E402

from moleflow.analysis.choices import AGAINST, FOR, OPEN, Effect, choices_analysis  # noqa: E402
from moleflow.analysis.statistics.report import Resampling  # noqa: E402
from moleflow.evaluation.metrics import image_metrics  # noqa: E402
from moleflow.evaluation.statistics.bootstrap import draw  # noqa: E402
from moleflow.utils.errors import UsageError  # noqa: E402
from moleflow.utils.io import read_json  # noqa: E402
from moleflow.utils.seed import derive_seed  # noqa: E402

GAINS = {"preset": 1.0, "crutch": 0.3, "burden": 2.5, "nothing": 1.0}
"""How much scores rise at a defect: without the crutch less, without the burden more."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inside")
    for name, gain in GAINS.items():
        write_scored_run(place, name, gain=gain)
    return place


def test_a_choice_is_worth_what_the_preset_loses_without_it(folder):
    found = choices_analysis(folder, "preset", Resampling(50))
    assert set(found.numbers["effects"]) == {"crutch", "burden", "nothing"}
    means = {
        name: np.mean([row["image_ap"] for row in read_json(folder / name / "results.json")["per_class"].values()])
        for name in GAINS
    }
    crutch = found.numbers["effects"]["crutch"]["image_ap"]
    assert crutch["without"] == pytest.approx(means["crutch"])
    assert crutch["gain"] == pytest.approx(means["preset"] - means["crutch"])

    def drawn(gain: float) -> np.ndarray:
        values = []
        for name in CLASSES:
            scores = kept(name, gain, 0)
            weights = draw(scores.labels, 50, derive_seed(0, "accuracy", name)).astype(int)
            rows = [np.repeat(np.arange(len(scores.labels)), taken) for taken in weights]
            values.append([image_metrics(scores.labels[own], scores.routed[own])["image_ap"] for own in rows])
        return np.mean(values, axis=0)

    assert crutch["error"] == pytest.approx(np.std(drawn(1.0) - drawn(0.3), ddof=1))


def test_it_says_what_speaks_for_a_choice_and_what_against(folder):
    found = choices_analysis(folder, "preset", Resampling(50))
    assert "pixel AP speaks for the choice that is missing in crutch." in found.finding
    assert "pixel AP speaks against the choice that is missing in burden." in found.finding
    assert "pixel AP leaves open the choice that is missing in nothing." in found.finding
    table = found.tables["choices"]
    (row,) = (dict(zip(table.columns, one, strict=True)) for one in table.rows if one[0] == "crutch")
    assert row["pixel AP 95 % from"] < row["pixel AP effect"] < row["pixel AP to"]
    assert row["pixel AP 95 % from"] > 0
    assert row["pixel AP verdict"] == FOR


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, FOR), (-0.2, AGAINST), (0.19, OPEN), (-0.19, OPEN), (0.0, OPEN)])
def test_a_verdict_needs_two_standard_errors(gain, verdict):
    assert Effect(0.5, gain, 0.1).verdict == verdict


def test_a_preset_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(UsageError, match="expected a run named 'presett' and others beside it, found burden, crutch"):
        choices_analysis(folder, "presett", Resampling(5))
    write_scored_run(tmp_path, "preset")
    with pytest.raises(UsageError, match="and others beside it, found preset: give --base"):
        choices_analysis(tmp_path, "preset", Resampling(5))


def test_the_script_writes_the_table(folder, tmp_path, capsys):
    words = [str(folder), "--base", "preset", "--resamples", "20", "--output_dir", str(tmp_path / "out")]
    assert analyze_choices.main(words) == 0
    assert "pixel AP speaks for the choice that is missing in crutch." in capsys.readouterr().out
    assert "| crutch |" in (tmp_path / "out" / "summary.md").read_text()
    assert read_json(tmp_path / "out" / "analysis_results.json")["resamples"] == 20
