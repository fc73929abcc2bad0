"""Numbers that are none, or larger than a machine's, are refused wherever they come from."""

import json

import pytest

from moleflow.config.cli import parse
from moleflow.config.stored import stored_config
from moleflow.utils.errors import MoleflowError, UsageError


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "1" + "0" * 400])
def test_a_flag_refuses_what_is_no_finite_number(number: str) -> None:
    with pytest.raises(UsageError, match=r"--lr expects a number of at least 0, found one that is not finite"):
        parse([f"--lr={number}"])


@pytest.mark.parametrize("number", [2**63, -(2**63)])
def test_a_flag_refuses_whole_numbers_beyond_64_bits(number: int) -> None:
    with pytest.raises(UsageError, match=r"--seed expects .* found one that no 64 bits hold"):
        parse([f"--seed={number}"])


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1" + "0" * 400, "1e999"])
def test_a_stored_configuration_refuses_them_too(number: str) -> None:
    text = json.dumps(parse(["--preset", "demo"])[0].to_json())
    content = json.loads(text.replace('"weight_decay": 0.0001', f'"weight_decay": {number}'))
    with pytest.raises(MoleflowError, match="--weight_decay expects a number"):
        stored_config(content, "config.json")


def test_a_message_stays_short_whatever_a_file_holds() -> None:
    nested: object = "deep"
    for _ in range(60):
        nested = [nested, nested]  # two to the sixty words, written out
    content = json.loads(json.dumps(parse(["--preset", "demo"])[0].to_json()))
    content["run"]["training"]["lr"] = nested
    with pytest.raises(MoleflowError, match="--lr expects a number") as found:
        stored_config(content, "config.json")
    assert len(str(found.value)) < 1000
