"""Runs whose shared part moves or comes from elsewhere: paused and resumed, they end with the same bytes."""

import json

import pytest
from conftest import promised_bytes

SHORT = ("--num_steps", "3", "--num_coupling_layers", "2")
RUNS = {
    "ogp": ("--base_policy", "always", "--use_ogp", "--ogp_n_samples", "4", "--ogp_max_rank", "2"),
    "replay in a slow stage": ("--slow_epochs", "1", "--slow_last_blocks", "1", "--use_replay"),
    "dia by trying": ("--dia_n_blocks", "auto"),
}


def base_hashes(folder):
    return json.loads((folder / "stream.json").read_text())["base"]["sha256"]


@pytest.mark.parametrize("name", RUNS)
def test_a_paused_and_resumed_run_ends_with_the_same_bytes(run, tmp_path, name):
    code, printed = run(tmp_path / "whole", *SHORT, *RUNS[name])
    assert code == 0, printed
    for pause in (("--stop_after", "2"), ("--resume",)):
        code, printed = run(tmp_path / "paused", *SHORT, *RUNS[name], *pause)
        assert code == 0, printed
    whole, paused = tmp_path / "whole" / "run", tmp_path / "paused" / "run"
    assert promised_bytes(whole) == promised_bytes(paused)
    kept = [folder / "protector.safetensors" for folder in (whole, paused)]
    assert {file.exists() for file in kept} == {"--use_ogp" in RUNS[name] or "--use_replay" in RUNS[name]}
    assert not list(paused.glob("*.next"))


def test_a_base_is_trained_on_a_folder_of_images_before_the_stream_and_then_serves_another_run(run, tmp_path, products):
    images = products / "biscuit" / "train"
    pretrained = (*SHORT, "--base_policy", "pretrained", "--base_from")
    code, printed = run(tmp_path / "one", *pretrained, str(images), "--stop_after", "1")
    assert code == 0, printed
    first = tmp_path / "one" / "run"
    base = base_hashes(first)
    code, printed = run(tmp_path / "one", *pretrained, str(images), "--resume")
    assert code == 0, printed
    assert base_hashes(first) == base, "no task moves it"
    code, printed = run(tmp_path / "two", *pretrained, str(first))
    assert code == 0, printed
    assert promised_bytes(tmp_path / "two" / "run") == promised_bytes(first)


def test_a_base_that_cannot_be_used_is_misuse(run, tmp_path):
    code, printed = run(tmp_path, "--base_policy", "pretrained", "--base_from", str(tmp_path / "nowhere"))
    assert code == 2
    assert "does not exist" in printed
    assert not (tmp_path / "run" / "config.json").exists(), "refused before anything is written"
