"""Which detector sees which images, and whose threshold counts."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_peer import CLASSES, SEVERITIES, MeanMethod

from moleflow.evaluation.scored import Scored
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, RESULT, TEST, VAL, cell, phases_of
from moleflow.study.phases import Phases
from moleflow.study.results import at_threshold, pooled, threshold_of


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the first test fills."""
    return tmp_path_factory.mktemp("phases")


@pytest.fixture
def done(bench: Bench, out: Path) -> Path:
    """All phases of the fake peer."""
    phases = Phases(bench, "mean", out)
    for pair in phases.todo():
        phases.run(*pair)
    return out


def result(out: Path, severity: str, phase: str, name: str) -> dict:
    """A cell's result."""
    return json.loads((cell(out, "mean", severity, phase, name) / RESULT).read_text())


def scores(out: Path, severity: str, phase: str, name: str, file: str) -> Scored:
    """A cell's scores."""
    return Scored.load(cell(out, "mean", severity, phase, name) / file)


def test_every_cell_is_there_and_nothing_is_left(bench: Bench, done: Path):
    for severity in (CLEAN, *SEVERITIES):
        for phase in phases_of(severity):
            for name in CLASSES:
                found = result(done, severity, phase, name)
                assert (found["severity"], found["phase"], found["class"]) == (severity, phase, name)
                assert found["val_has_anomalies"]
                assert (found["clean_after"] is not None) == (phase == "full")
    assert Phases(bench, "mean", done).todo() == []


def test_thresholds_come_from_where_the_phase_says(done: Path):
    for severity in SEVERITIES:
        for name in CLASSES:
            of = {phase: result(done, severity, phase, name)["threshold"] for phase in phases_of(severity)}
            assert of["none"] == result(done, CLEAN, CLEAN, name)["threshold"]
            assert of["threshold"] == threshold_of(scores(done, severity, "none", name, VAL))
            assert of["full"] == threshold_of(scores(done, severity, "full", name, VAL))
        together = pooled([scores(done, severity, "global", name, VAL) for name in CLASSES])
        assert {result(done, severity, "global", name)["threshold"] for name in CLASSES} == {threshold_of(together)}


def test_the_threshold_of_one_model_for_all_looks_at_all_classes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("moleflow.study.phases.threshold_of", lambda scored: float(len(scored.samples)))
    phases = Phases(bench, "mean", tmp_path)
    phases.run("mild", "full")
    phases.run("mild", "global")
    counts = [len(bench.part("mild", name, "val")) for name in CLASSES]
    assert [result(tmp_path, "mild", "full", name)["threshold"] for name in CLASSES] == counts
    assert [result(tmp_path, "mild", "global", name)["threshold"] for name in CLASSES] == [sum(counts)] * 2


def test_a_new_threshold_changes_decisions_and_no_score(done: Path):
    for name in CLASSES:
        before, after = (result(done, "severe", phase, name) for phase in ("none", "threshold"))
        assert before["metrics"] == after["metrics"]
        test = scores(done, "severe", "threshold", name, TEST)
        np.testing.assert_array_equal(test.images, scores(done, "severe", "none", name, TEST).images)
        assert after["at_threshold"] == at_threshold(test, after["threshold"])


def test_each_detector_was_fitted_to_its_own_severity(bench: Bench, tmp_path: Path):
    phases = Phases(bench, "mean", tmp_path)
    for pair in phases.todo():
        phases.run(*pair)
    single = [(severity, (name,)) for severity in (CLEAN, *SEVERITIES) for name in CLASSES]
    assert sorted(MeanMethod.fits) == sorted([*single, *((severity, CLASSES) for severity in SEVERITIES)])
    clean, shifted = bench.part(CLEAN, "fabric", "test"), bench.part("mild", "fabric", "test")
    assert scores(tmp_path, CLEAN, CLEAN, "fabric", TEST).samples == clean
    assert scores(tmp_path, "mild", "none", "fabric", TEST).samples == shifted
    assert scores(tmp_path, "mild", "full", "fabric", VAL).samples == bench.part("mild", "fabric", "val")


def test_a_lost_cell_alone_is_done_again_with_the_same_content(bench: Bench, done: Path):
    kept = {file: file.read_bytes() for file in done.rglob("*.npz")}
    lost = cell(done, "mean", "mild", "full", "washer") / RESULT
    before = json.loads(lost.read_text())
    lost.unlink()
    phases = Phases(bench, "mean", done)
    assert phases.todo() == [("mild", "full")]
    MeanMethod(bench)
    phases.run("mild", "full")
    assert MeanMethod.fits == [("mild", ("washer",))]
    after = json.loads(lost.read_text())
    same = [key for key in before if key != "ms_per_image"]
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert {file: file.read_bytes() for file in done.rglob("*.npz")}.keys() == kept.keys()
