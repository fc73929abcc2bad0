"""The analysis scripts as people call them."""

import json

import pytest
from registry.miniature import fresh
from scripts.calling import call

STUDIES = ("analyze_interaction_effect.py", "analyze_forgetting.py", "analyze_routing.py")


@pytest.mark.parametrize(
    ("script", "words", "sentence"),
    [
        ("analyze_interaction_effect.py", ["nowhere", "--output_dir", "out"], "lacks runs of inter_frozen_none"),
        ("analyze_forgetting.py", ["nowhere", "--output_dir", "out"], "expected a folder of runs"),
        ("analyze_routing.py", ["--run", "nowhere", "--output_dir", "out"], "There is no run in nowhere"),
        ("analyze_routing.py", ["--run", "x", "--output_dir", "out", "--routers", "best"], "invalid choice"),
    ],
)
def test_misuse_is_one_sentence_and_exit_2(script, words, sentence):
    done = call(script, *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_help_says_what_a_script_does():
    done = call(STUDIES[0], "--help")
    assert done.returncode == 0
    assert "cure for the frozen base" in done.stdout


def test_routing_of_a_finished_run(tmp_path):
    run = fresh(tmp_path)
    words = ["--run", run, "--output_dir", tmp_path / "out", "--window", 2, "--products", 3, 12]
    done = call("analyze_routing.py", *words)
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "out" / "analysis_results.json").read_text())
    assert numbers["observed"]["tasks"] == ["biscuit", "fabric", "washer"]
    assert sorted({point["tasks"] for point in numbers["simulated"]}) == [3, 12]
    assert "python scripts/analyze_routing.py --run" in (tmp_path / "out" / "summary.md").read_text()
