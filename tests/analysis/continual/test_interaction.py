"""The interaction study on runs with known numbers."""

import json
from pathlib import Path

import pytest

from moleflow.analysis.continual.interaction import effect, interaction, read_study
from moleflow.analysis.continual.interaction_page import interaction_analysis
from moleflow.config.ablations import BASES, BOOSTERS
from moleflow.utils.errors import MoleflowError, UsageError

CLASSES = {"screw": 0.5, "cookie": 0.6}
GAIN = {("frozen", "wa"): 0.10, ("trainable", "wa"): 0.02, ("frozen", "dia"): 0.05, ("trainable", "dia"): 0.05}


def write_run(folder: Path, seed: int, values: dict[str, float], after: int = 2) -> None:
    folder.mkdir(parents=True)
    per_class = {name: {"image_auroc": value, "pixel_ap": None, "task": 0} for name, value in values.items()}
    final = {"routed": {"image_auroc": 0.5, "pixel_ap": None}, "routing_accuracy": 1.0}
    content = {"tasks": [[name] for name in values], "per_class": per_class, "final": final,
               "matrix": {"image_auroc": [[1.0, None], [1.0, 1.0]][:after]},
               "continual": {"fm": {"image_auroc": 0.0}}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "config.json").write_text(json.dumps({"flags": {"seed": seed}}))


@pytest.fixture
def log_dir(tmp_path):
    for base in BASES:
        for part in BOOSTERS:
            for seed in (0, 1):
                gain = GAIN.get((base, part), 0.0) + 0.01 * seed * (part != "none")
                values = {name: value + gain for name, value in CLASSES.items()}
                write_run(tmp_path / f"measured-inter_{base}_{part}-s{seed}", seed, values)
    return tmp_path


def test_effects_are_paired_differences_in_points(log_dir):
    study = read_study(log_dir, "image_auroc")
    found = effect(study, "frozen", "wa")
    assert found.value == pytest.approx(10.5)  # 10 points at seed 0, 11 at seed 1
    assert found.n == 4
    assert found.high - found.low == pytest.approx(2 * 3.182446305284263 * 0.5773502691896258 / 2)


def test_interaction_is_the_difference_of_effects(log_dir):
    study = read_study(log_dir, "image_auroc")
    assert interaction(study, "wa").value == pytest.approx(8.0)
    assert interaction(study, "dia").value == pytest.approx(0.0)


def test_the_page_says_which_part_interacts_and_which_does_not(log_dir, tmp_path):
    for run in log_dir.glob("*"):  # pixel AP too
        content = json.loads((run / "results.json").read_text())
        for row in content["per_class"].values():
            row["pixel_ap"] = row["image_auroc"]
        (run / "results.json").write_text(json.dumps(content))
    found = interaction_analysis(log_dir, "the command")
    assert "it helps the frozen base more" in found.finding[0]
    assert found.finding[2].endswith("no interaction shown.")
    found.write(tmp_path / "out")
    numbers = json.loads((tmp_path / "out" / "analysis_results.json").read_text())
    assert numbers["image_auroc"]["effects"]["difference/wa"]["value"] == pytest.approx(8.0)
    assert numbers["image_auroc"]["values"]["frozen/wa"]["screw/s1"] == pytest.approx(61.0)


def test_a_missing_cell_is_named(log_dir):
    for seed in (0, 1):
        (log_dir / f"measured-inter_frozen_tal-s{seed}" / "results.json").unlink()
        (log_dir / f"measured-inter_frozen_tal-s{seed}" / "config.json").unlink()
        (log_dir / f"measured-inter_frozen_tal-s{seed}").rmdir()
    with pytest.raises(UsageError, match="lacks runs of inter_frozen_tal"):
        read_study(log_dir, "image_auroc")


def test_an_unfinished_run_is_named(log_dir):
    write_run(log_dir / "measured-inter_frozen_wa-s7", 7, CLASSES, after=1)
    with pytest.raises(MoleflowError, match="inter_frozen_wa-s7 has 1 of 2 tasks"):
        read_study(log_dir, "image_auroc")
