"""The sweep on runs with known numbers."""

import json
from pathlib import Path

from moleflow.analysis.tail.sweep import sweep


def run(folder: Path, value: float | None) -> Path:
    folder.mkdir(parents=True)
    final = {"routed": {"image_auroc": value, "pixel_ap": None}, "routing_accuracy": 1.0}
    content = {"tasks": [["a"]], "final": final, "matrix": {"image_auroc": [[value]]},
               "continual": {"fm": {"image_auroc": None}}}  # fmt: skip
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def test_the_best_value_is_named_with_its_paired_gain(tmp_path):
    points = {
        at: [run(tmp_path / f"{at}-{seed}", at / 2 + 0.3 + seed / 100) for seed in (0, 1, 2)] for at in (0.0, 0.5)
    }
    found = sweep({"tail_weight": points}, "bolt")
    assert "is best at 0.5 (56.0 %), 25.0 (25.0 to 25.0) points above 0 (3 seeds): an effect" in found.finding[0]
    assert found.finding[1] == "tail weight w: pixel AP does not apply."
    assert found.tables["sweep_tail_weight"].rows[1][:3] == ("0.5", 3, "56.0 ± 1.0")


def test_no_gain_is_no_effect(tmp_path):
    values = {0.0: (0.5, 0.6), 0.7: (0.6, 0.51)}
    points = {at: [run(tmp_path / f"{at}-{i}", value) for i, value in enumerate(row)] for at, row in values.items()}
    assert "no effect shown" in sweep({"tail_weight": points}, "bolt").finding[0]


def test_figure_and_tables_are_written(tmp_path):
    points = {at: [run(tmp_path / f"{at}", at)] for at in (0.1, 0.5)}
    sweep({"tail_top_k_ratio": points}, "bolt").write(tmp_path / "out")
    assert {"sweep.png", "sweep.pdf", "sweep_tail_top_k_ratio.tex"} <= {
        file.name for file in (tmp_path / "out").iterdir()
    }
