"""The forgetting study on task matrices with known numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from moleflow.analysis.continual.forgetting import forgetting_analysis, read_methods
from moleflow.utils.errors import MoleflowError, UsageError

LEVEL = [[0.9, None, None], [0.9, 0.8, None], [0.9, 0.8, 0.7]]
FALLING = [[0.9, None, None], [0.6, 0.8, None], [0.4, 0.5, 0.7]]


def write_run(folder: Path, matrix: list[list[float | None]], tasks: tuple[str, ...] = ("a", "b", "c")) -> None:
    folder.mkdir(parents=True)
    content = {
        "tasks": [[name] for name in tasks],
        "matrix": {"image_auroc": matrix, "pixel_ap": matrix},
        "final": {"routed": {"image_auroc": 0.8, "pixel_ap": 0.1}, "routing_accuracy": 1.0},
        "continual": {"fm": {"image_auroc": 0.0}},
    }
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "config.json").write_text(json.dumps({"flags": {"seed": int(folder.name[-1])}}))


@pytest.fixture
def log_dir(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"full-s{seed}", LEVEL)
        write_run(tmp_path / f"all_shared-s{seed}", FALLING)
    return tmp_path


def test_curves_and_forgetting_come_from_the_matrix(log_dir):
    shared, full = read_methods(log_dir)
    assert (shared.title, full.title) == ("everything shared, trained always", "experts, frozen base")
    assert shared.first_task()[0].tolist() == pytest.approx([90, 60, 40])
    assert shared.old_tasks()[1, 1:].tolist() == pytest.approx([60, 45])
    assert np.isnan(shared.old_tasks()[:, 0]).all()
    assert shared.fm("image_auroc") == pytest.approx([(50 + 30) / 2] * 2)
    assert shared.bwt("image_auroc") == pytest.approx([-40] * 2)
    assert full.fm("image_auroc") == [0.0, 0.0]


def test_the_page_names_who_loses_nothing(log_dir, tmp_path):
    found = forgetting_analysis(log_dir, ["full", "all_shared"], "the command")
    assert found.finding[0].endswith("Exactly nothing is lost by: experts, frozen base.")
    assert "everything shared, trained always: FM 40.0 ± 0.0 points over 2 seeds" in found.finding[0]
    found.write(tmp_path / "out")
    assert (tmp_path / "out" / "forgetting.png").stat().st_size < 200_000
    rows = (tmp_path / "out" / "forgetting.csv").read_text().splitlines()
    assert rows[2].startswith('"everything shared, trained always",2,80.0 ± 0.0,40.0 ± 0.0,-40.0 ± 0.0')


def test_runs_of_other_streams_are_refused(log_dir):
    write_run(log_dir / "ewc-s0", LEVEL, ("a", "c", "b"))
    with pytest.raises(UsageError, match="found 2 streams"):
        read_methods(log_dir)


def test_an_unknown_method_is_refused(log_dir):
    with pytest.raises(UsageError, match="no runs called nothing; there are: all_shared, full"):
        read_methods(log_dir, ["nothing"])


def test_an_unfinished_run_is_named(log_dir):
    write_run(log_dir / "ogp-s0", LEVEL[:2])
    with pytest.raises(MoleflowError, match="ogp-s"):
        read_methods(log_dir)
