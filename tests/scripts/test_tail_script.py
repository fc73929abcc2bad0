"""run_tail_analysis.py as people call it."""

import json

import pytest
from registry.miniature import QUICK, shelf
from scripts.calling import call


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--class_name", "bolt", "--output_dir", "out"], "Which study?"),
        (["--output_dir", "out", "--run_all"], "--class_name"),
        (["--class_name", "bolt", "--output_dir", "out", "--run_all", "--num_stps", "3"], "did you mean"),
    ],
)
def test_misuse_is_one_sentence_and_exit_2(words, sentence):
    done = call("run_tail_analysis.py", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def quick(tmp_path, *words: str) -> list[str]:
    kept = [word for word in QUICK if word not in ("--no_figures", "--no_tensorboard", "--no_resume")]
    places = ["--data_path", str(shelf() / "products"), "--feature_cache", str(shelf() / "cache")]
    return [*kept, *places, "--output_dir", str(tmp_path / "out"), *words]


def test_an_unknown_product_is_named(tmp_path):
    done = call("run_tail_analysis.py", *quick(tmp_path, "--class_name", "bolt", "--run_spatial"))
    assert done.returncode == 2
    assert "bolt" in done.stderr


def test_studies_of_one_product(tmp_path):
    studies = ["--run_spatial", "--run_train_test", "--run_latent", "--run_score", "--run_gradient"]
    done = call("run_tail_analysis.py", *quick(tmp_path, "--class_name", "washer", *studies))
    assert done.returncode == 0, done.stderr
    for name in ("spatial", "train_test", "latent", "score", "gradient"):
        assert json.loads((tmp_path / "out" / name / "analysis_results.json").read_text())
    shares = json.loads((tmp_path / "out" / "gradient" / "analysis_results.json").read_text())["share_percent"]
    assert shares["0.0"]["value"] < shares["0.7"]["value"] < shares["1.0"]["value"] == 100
    assert "## [Where the tail lies: washer](spatial/summary.md)" in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.slow
def test_every_study_and_the_sweep(tmp_path):
    done = call("run_tail_analysis.py", *quick(tmp_path, "--class_name", "washer", "--run_all", "--seeds", "0", "1"))
    assert done.returncode == 0, done.stderr
    swept = json.loads((tmp_path / "out" / "sweep" / "analysis_results.json").read_text())
    assert {len(rows) for points in swept.values() for rows in points.values()} == {2}
