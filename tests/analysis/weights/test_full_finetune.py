"""What the analysis of full fine-tuning says of changes that are known."""

import numpy as np
import pytest
import torch

from moleflow.analysis.weights.full_finetune import Finetuned, full_finetune, linear_weights
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json, read_tensors, write_tensors

NAMES = [f"flow.blocks.{k}.subnet.{part}.base.weight" for k in range(2) for part in ("enter", "leave")]
DRAW = np.random.default_rng(0)


def pair_of(folder, change, second="b"):
    """Weights before, and after a change (24, 12) was added to each layer."""
    before = {name: torch.tensor(DRAW.standard_normal((24, 12))) for name in NAMES}
    before["flow.blocks.0.subnet.context.base.weight"] = torch.zeros(3, 1, 5, 5)
    before["context.mix.base.weight"] = torch.zeros(24, 12)
    after = {name: value + (torch.tensor(change()) if name in NAMES else 0) for name, value in before.items()}
    files = [folder / f"{second}-{when}.safetensors" for when in ("before", "after")]
    for file, tensors in zip(files, (before, after), strict=True):
        write_tensors(file, tensors)
    return Finetuned("a", second, *files, [[0.9, None], [0.6, 0.8]])


def test_only_linear_layers_of_the_flow_count(tmp_path):
    pair = pair_of(tmp_path, lambda: np.ones((24, 12)))
    assert list(linear_weights(read_tensors(pair.before))) == [name.removesuffix(".base.weight") for name in NAMES]


def test_a_change_of_rank_two_is_found_and_told(tmp_path):
    low = lambda: DRAW.standard_normal((24, 2)) @ DRAW.standard_normal((2, 12))
    found = full_finetune([pair_of(tmp_path, low), pair_of(tmp_path, low, "c")], draws=20, command="python x")
    assert found.numbers["pairs"]["a → b"]["effective_rank"]["0.99"] <= 2
    assert found.numbers["pairs"]["a → b"]["energy"]["4"] == pytest.approx(1)
    assert len(found.numbers["layers"]) == 8
    assert found.finding[0].startswith("ΔW is more concentrated than chance")
    assert "8 of 8 layers lie below" in found.finding[0]
    assert "a → c: 90.0 → 60.0, c 80.0" in found.finding[1]
    found.write(tmp_path / "out")
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"svd_spectrum.png", "energy_at_ranks.png", "effective_rank_histogram.png", "analysis_results.json",
            "svd_spectrum.pdf", "energy_at_ranks.csv", "effective_ranks.tex", "summary.md"} <= written  # fmt: skip
    assert read_json(tmp_path / "out" / "analysis_results.json")["draws"] == 20
    assert "    python x" in (tmp_path / "out" / "summary.md").read_text()


def test_noise_is_called_no_effect(tmp_path):
    found = full_finetune([pair_of(tmp_path, lambda: DRAW.standard_normal((24, 12)))], draws=60)
    assert found.finding[0].startswith("No effect: ΔW is as spread as chance")


def test_weights_that_did_not_move_or_do_not_fit_are_told(tmp_path):
    with pytest.raises(MoleflowError, match="did not change; was the base frozen"):
        full_finetune([pair_of(tmp_path, lambda: np.zeros((24, 12)))], draws=2)
    pair = pair_of(tmp_path, lambda: np.ones((24, 12)))
    write_tensors(pair.after, {"flow.blocks.0.subnet.enter.base.weight": torch.zeros(24, 12)})
    with pytest.raises(MoleflowError, match="should hold the same linear layers"):
        full_finetune([pair], draws=2)
