"""The figure of the collapse, from results on disk."""

import json

import pytest
from PIL import Image

from moleflow.analysis.forgetting_curve import draw_forgetting, first_task_curve
from moleflow.utils.errors import MoleflowError


def run_of(folder, first_column):
    matrix = [[value, *[0.9] * row] for row, value in enumerate(first_column)]
    folder.mkdir()
    tasks = [["b", "a"], ["c"], ["d"]][: len(first_column)]
    (folder / "results.json").write_text(json.dumps({"tasks": tasks, "matrix": {"image_auroc": matrix}}))
    return folder


def test_the_first_column_is_what_is_drawn(tmp_path):
    runs = {"full": run_of(tmp_path / "full", [0.9, 0.9, 0.9]), "shared": run_of(tmp_path / "all", [0.9, 0.7, 0.4])}
    assert first_task_curve(runs["shared"]) == (["a+b", "c", "d"], [0.9, 0.7, 0.4])
    curves = draw_forgetting(runs, tmp_path / "out" / "curve.png")
    assert curves == {"full": [0.9, 0.9, 0.9], "shared": [0.9, 0.7, 0.4]}
    one = (tmp_path / "out" / "curve.png").read_bytes()
    assert Image.open(tmp_path / "out" / "curve.png").width > 300
    draw_forgetting({"full": runs["full"]}, tmp_path / "out" / "curve.png")
    assert (tmp_path / "out" / "curve.png").read_bytes() != one


def test_a_run_without_a_matrix_is_named(tmp_path):
    folder = run_of(tmp_path / "run", [0.5])
    with pytest.raises(MoleflowError, match="task matrix of 'pixel_ap'"):
        first_task_curve(folder, "pixel_ap")
