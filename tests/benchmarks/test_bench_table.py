"""``python -m moleflow bench``: what is printed, what it ends with, and that times are taken in turns."""

import json
import time

import pytest
import torch

from benchmarks import table
from benchmarks.row import Found, NotRun, Row
from benchmarks.timing import alternating, ratio
from moleflow.__main__ import main


def _absent(setting: object) -> Found:
    raise NotRun("there is no such thing here")


FAKES = {
    "fast": Row("ways", "≤", 1.1, lambda setting: Found(1.0, "1 ms")),
    "slow": Row("ways", "≥", 3.0, lambda setting: Found(1.0)),
    "own": Row("a target of its own", "≤", 9.0, lambda setting: Found(2.0, target=1.0)),
    "absent": Row("nothing", "≤", 1.0, _absent),
    "told": Row("no target", "≤", None, lambda setting: Found(5.0)),
    "long": Row("a long one", "≤", None, lambda setting: Found(6.0), in_quick=False),
}


PROMISED = """epoch_vs_ram cached_vs_uncached gemm_share_152 gemm_share_256 gemm_share_768 coupling_vs_freia bf16_gain
routed_vs_backbone_lite0 routed_vs_backbone_resnet50 mixed_batch predict_vs_patchcore predict_vs_padim
storage_vs_patchcore
train_seconds_200 route_1000_ms router_mb_1000 add_task_vs_t fp16_loss eval_share cache_read_share"""
REAL = table.ROWS


def test_every_promised_row_is_there() -> None:
    assert set(PROMISED.split()) <= set(REAL)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS", FAKES)


def test_json_is_one_object_of_value_target_and_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "fast": {"value": 1.0, "target": 1.1, "pass": True},
        "slow": {"value": 1.0, "target": 3.0, "pass": False},
        "own": {"value": 2.0, "target": 1.0, "pass": False},
        "absent": {"value": None, "target": 1.0, "pass": None, "why": "not run: there is no such thing here"},
        "told": {"value": 5.0, "target": None, "pass": None},
        "long": {"value": 6.0, "target": None, "pass": None},
    }


def test_a_quick_look_leaves_out_what_takes_long_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", "--rows", "told", "long"]) == 0
    printed = capsys.readouterr().out
    assert "not run: it takes longer than a quick look has" in printed
    assert printed.count("not run") == 1


def test_only_a_missed_target_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rows", "fast", "absent", "told"]) == 0
    printed = capsys.readouterr().out
    assert "pass" in printed
    assert "MISS" not in printed
    assert "not run: there is no such thing here" in printed


def test_an_unknown_row_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--rows", "fats"]) == 2
    assert "did you mean 'fast'?" in capsys.readouterr().err


def test_ways_take_turns_and_the_first_round_does_not_count() -> None:
    seen: list[str] = []
    times = alternating({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2, torch.device("cpu"))
    assert seen == ["a", "b"] * 3
    assert [len(seconds) for seconds in times.values()] == [2, 2]


def test_what_comes_before_a_way_is_not_in_its_time() -> None:
    seen: list[str] = []
    before = {"b": lambda: (seen.append("before b"), time.sleep(0.05))}
    times = alternating({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 1, before=before)
    assert seen == ["a", "before b", "b"] * 2
    assert times["b"][0] < 0.05


def test_a_ratio_compares_times_of_the_same_round() -> None:
    assert ratio({"a": [2.0, 40.0, 6.0], "b": [1.0, 10.0, 2.0]}, "a", "b") == 3.0
