"""I1 and I2 on the miniature stream: they run, repeat themselves byte for byte, and go on after a pause."""

import json

import pytest
from conftest import promised_bytes

from moleflow.utils.io import read_tensors

SMALL = ("--img_size", "64", "--num_steps", "3", "--task_classes", "fabric", "washer")


@pytest.mark.parametrize(
    "words",
    [
        ("--use_rotation_aug", "--cache_views", "2"),
        ("--use_rotation_aug", "--cache_views", "0"),
        ("--use_stn", "--stn_hidden_dim", "16"),
    ],
    ids=["fixed views", "fresh views", "stn"],
)
def test_a_paused_and_resumed_run_equals_one_in_a_piece(run, tmp_path, words):
    for folder, *pause in (("one",), ("other", "--stop_after", "1"), ("other", "--resume")):
        code, printed = run(tmp_path / folder, *SMALL, *words, *pause)
        assert code == 0, printed
        assert ("--use_feature_cache is off" in printed) == ("2" not in words)
        if "--stop_after" in pause:
            base = read_tensors(tmp_path / "other" / "run" / "base.safetensors")
    assert promised_bytes(tmp_path / "one" / "run") == promised_bytes(tmp_path / "other" / "run")
    results = json.loads((tmp_path / "one" / "run" / "results.json").read_text())
    assert results["continual"]["fm"]["image_auroc"] == 0.0
    assert all(base[name].equal(value) for name, value in read_tensors(tmp_path / "one/run/base.safetensors").items())
    assert any(name.startswith("warp.") for name in base) == ("--use_stn" in words)
