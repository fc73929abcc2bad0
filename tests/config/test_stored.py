"""A stored configuration is read back as it was, whatever it holds; what is not one is refused."""

import json

import pytest

from moleflow.config.ablations import ABLATIONS
from moleflow.config.cli import parse
from moleflow.config.presets import PRESETS
from moleflow.config.stored import stored_config
from moleflow.utils.errors import MoleflowError

LINES = [*(["--preset", name] for name in PRESETS), *(["--ablation", name] for name in ABLATIONS)]


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_what_was_written_is_read_back(words: list[str]) -> None:
    resolved, _ = parse(words)
    written = json.loads(json.dumps(resolved.to_store()))
    again = stored_config(written, "config.json")
    assert json.loads(json.dumps(again.to_store())) == written
    assert (again.ablation, again.run, again.named) == (resolved.ablation, resolved.run, resolved.named)


def content() -> dict:
    return json.loads(json.dumps(parse(["--preset", "demo"])[0].to_store()))


def test_an_older_file_lacks_what_was_not_there_yet() -> None:
    older = content()
    del older["ablation"]["open_set"], older["run"]["training"]["grad_clip"], older["named"]
    del older["flags"]["grad_clip"], older["sources"]["grad_clip"]
    again = stored_config(older, "config.json")
    assert again.run.training.grad_clip == again.flags["grad_clip"] == 1.0
    assert again.sources["grad_clip"] == "default"
    assert again.named == {}


def test_names_are_those_of_the_command_line() -> None:
    assert parse(["--preset", "measured", "--ablation", "wo_dia"])[0].named == {
        "preset": "measured",
        "ablation": "wo_dia",
    }
    assert parse(["--seed", "1"])[0].named == {"preset": None, "ablation": None}
    assert parse([])[0].named["preset"] == "demo"


@pytest.mark.parametrize("damage", [
    lambda whole: [], lambda whole: {}, lambda whole: None, lambda whole: {**whole, "run": []},
    lambda whole: {**whole, "ablation": {**whole["ablation"], "flow": {"variant": "Magic"}}},
    lambda whole: {**whole, "ablation": {**whole["ablation"], "flow": []}},
    lambda whole: {**whole, "run": {**whole["run"], "training": {"lr": "fast"}}},
    lambda whole: {**whole, "run": {**whole["run"], "training": {"unheard_of": 1}}},
])  # fmt: skip
def test_what_is_no_configuration_is_refused_in_one_sentence(damage) -> None:
    with pytest.raises(MoleflowError, match=r"^config\.json is no configuration this moleflow can read") as caught:
        stored_config(damage(content()), "config.json")
    assert "\n" not in str(caught.value)
