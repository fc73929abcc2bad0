"""What choices are worth inside: effects and intervals on made-up runs, and the script."""

import shutil
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
from moleflow.evaluation.results import INSIDE, SOURCES  # noqa: E402
from moleflow.evaluation.statistics.bootstrap import draw_groups  # noqa: E402
from moleflow.utils.errors import UsageError  # noqa: E402
from moleflow.utils.io import read_json, write_json  # noqa: E402
from moleflow.utils.seed import derive_seed  # noqa: E402

GAINS = {"preset": 1.0, "crutch": 0.3, "burden": 2.5, "nothing": 1.0}
"""How much scores rise at a defect: without the crutch less, without the burden more."""

NAMES = kept(CLASSES[0], 1.0, 0).names.tolist()
NORMAL, DAMAGED = NAMES[:5] * 2, NAMES[10:]
"""Each of five images was damaged twice, five others were not."""


def write_judged(place: Path, name: str, gain: float, inner: str = "abc", seed: int = 0) -> None:
    """What validate_inside.py leaves of a run."""
    run = write_scored_run(place, name, seed, gain=gain)
    told = {"run": name, "inner": inner, SOURCES: dict(zip(DAMAGED, NORMAL, strict=True))}
    write_json(run / "results.json", {**read_json(run / "results.json"), INSIDE: told})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inside")
    for name, gain in GAINS.items():
        write_judged(place, name, gain)
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
            groups = {one: [number] for number, one in enumerate(NAMES[:10])}
            for number, one in enumerate(NORMAL, 10):
                groups[one].append(number)
            taken = draw_groups(np.array(sorted(groups)), 50, derive_seed(0, "accuracy", name)).astype(int)
            rows = [
                np.concatenate([groups[one] * often for one, often in zip(sorted(groups), each, strict=True)])
                for each in taken
            ]
            rows = [own.astype(int) for own in rows]
            values.append([image_metrics(scores.labels[own], scores.routed[own])["image_ap"] for own in rows])
        return np.mean(values, axis=0)

    assert crutch["error"] == pytest.approx(np.std(drawn(1.0) - drawn(0.3), ddof=1))


def test_it_says_what_speaks_for_a_choice_and_what_against(folder):
    found = choices_analysis(folder, "preset", Resampling(50))
    assert "By pixel AP, named after what is done without it, what helps: crutch." in found.finding
    assert "By pixel AP, named after what is done without it, what harms: burden." in found.finding
    assert "By pixel AP, named after what is done without it, what is open: nothing." in found.finding
    table = found.tables["choices"]
    (row,) = (dict(zip(table.columns, one, strict=True)) for one in table.rows if one[0] == "crutch")
    assert row["pixel AP 95 % from"] < row["pixel AP effect"] < row["pixel AP to"]
    assert row["pixel AP 95 % from"] > 0
    assert row["pixel AP verdict"] == FOR


@pytest.mark.parametrize(("gain", "verdict"), [(0.2, FOR), (-0.2, AGAINST), (0.19, OPEN), (-0.19, OPEN), (0.0, OPEN)])
def test_a_verdict_needs_two_standard_errors(gain, verdict):
    assert Effect(0.5, gain, 0.1).verdict == verdict
    assert Effect(0.5, gain, float("nan")).verdict == OPEN, "nothing is known of its error"


def test_means_may_be_of_some_classes(folder):
    found = choices_analysis(folder, "preset", Resampling(20), classes=["nut"])
    rows = {name: read_json(folder / name / "results.json")["per_class"]["nut"] for name in GAINS}
    crutch = found.numbers["effects"]["crutch"]["pixel_ap"]
    assert crutch["gain"] == pytest.approx(rows["preset"]["pixel_ap"] - rows["crutch"]["pixel_ap"])
    assert found.numbers["classes"] == ["nut"]
    with pytest.raises(UsageError, match=r"--classes has an unknown 'nit'.*did you mean 'nut'"):
        choices_analysis(folder, "preset", Resampling(20), classes=["nit"])


def test_a_preset_that_is_not_there_is_named(folder, tmp_path):
    with pytest.raises(
        UsageError, match=r"expected a run named 'presett' and others beside it, .*found burden, crutch"
    ):
        choices_analysis(folder, "presett", Resampling(5))
    write_judged(tmp_path, "preset-s0", 1.0)
    write_judged(tmp_path, "preset-s1", 1.5, seed=1)
    with pytest.raises(UsageError, match="and others beside it, judged inside, found preset-s0, preset-s1"):
        choices_analysis(tmp_path, "preset-s0", Resampling(5))


def test_other_seeds_of_the_preset_are_no_choice(tmp_path):
    for name, seed in (("preset-s0", 0), ("preset-s1", 1), ("crutch", 0)):
        write_judged(tmp_path, name, 1.0, seed=seed)
    assert list(choices_analysis(tmp_path, "preset-s0", Resampling(5)).numbers["effects"]) == ["crutch"]


def test_runs_that_were_not_judged_alike_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    write_scored_run(tmp_path / "runs", "tested")
    (tmp_path / "runs" / "nothing" / "scores" / "nut.npz").unlink()
    old = tmp_path / "runs" / "burden" / "results.json"
    results = read_json(old)
    del results[INSIDE][SOURCES]
    write_json(old, results)
    found = choices_analysis(tmp_path / "runs", "preset", Resampling(5))
    assert set(found.numbers["effects"]) == {"crutch"}
    for name in ("tested", "nothing", "burden"):
        assert f"Left out: {name} was not judged inside by today's validate_inside.py." in found.finding
    write_judged(tmp_path / "runs", "elsewhere", 1.0, inner="def")
    with pytest.raises(UsageError, match="elsewhere and preset were judged on other damaged images"):
        choices_analysis(tmp_path / "runs", "preset", Resampling(5))


def test_an_error_of_one_resampling_is_none(folder):
    with pytest.raises(UsageError, match="--resamples expects 2 or more, found 1"):
        choices_analysis(folder, "preset", Resampling(1))


def test_the_script_writes_the_table(folder, tmp_path, capsys):
    words = [str(folder), "--base", "preset", "--resamples", "20", "--output_dir", str(tmp_path / "out")]
    assert analyze_choices.main(words) == 0
    assert "what helps: crutch." in capsys.readouterr().out
    assert "| crutch |" in (tmp_path / "out" / "summary.md").read_text()
    assert read_json(tmp_path / "out" / "analysis_results.json")["resamples"] == 20
