"""Whatever a command line, a YAML file or a stored config.json says: a configuration, or one sentence about it."""

import contextlib
import io
import json
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from changes import changes, values, written_out
from fuzzing import fuzz
from hypothesis import strategies as st

from moleflow.config import cli
from moleflow.config.cli import build_parser, parse, print_config
from moleflow.config.stored import stored_config
from moleflow.utils.errors import MoleflowError, UsageError
from moleflow.utils.io import read_json

ACTIONS = [action for action in build_parser()._actions if "--help" not in action.option_strings]
FLAGS = [name for action in ACTIONS for name in action.option_strings if name != "--config"]
CHOICES = sorted({str(choice) for action in ACTIONS for choice in action.choices or ()})
NUMBERS = [
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1e400",
    "1e308",
    "1e-400",
    "9" * 400,
    "9" * 5000,
    "-1",
    "0",
    "0.5",
    "1_0",
    "٣",
    "",
]

word = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(CHOICES),
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=9),
)
setting = st.tuples(st.sampled_from(FLAGS), st.lists(word, max_size=3)).map(lambda pair: [pair[0], *pair[1]])
line = st.lists(st.one_of(setting, setting, setting, st.lists(word, max_size=2)), max_size=5).map(
    lambda parts: list(chain.from_iterable(parts))
)


@pytest.fixture(autouse=True)
def one_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser keeps nothing from line to line, and building it takes longer than all it does."""
    monkeypatch.setattr(cli, "build_parser", cache(build_parser))


def survives(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        configured(words)


def configured(words: list[str]) -> None:
    """A line that is taken says the same when it is printed and read back."""
    with contextlib.redirect_stderr(io.StringIO()):
        resolved, _ = parse(words)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        print_config(resolved)
    content = json.loads(shown.getvalue(), parse_constant=pytest.fail)
    again = stored_config(content, "config.json")
    assert (again.ablation, again.run) == (resolved.ablation, resolved.run)


def test_any_command_line_is_a_configuration_or_a_sentence() -> None:
    fuzz(line.filter(lambda words: not {"-h", "--help"} & set(words)), survives)


def test_any_yaml_file_is_a_configuration_or_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "flags.yaml"
    names = [flag.lstrip("-") for flag in FLAGS]
    flags = st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values, max_size=4)

    def holds(text: str | bytes) -> None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        survives(["--config", str(file)])

    import yaml

    fuzz(
        st.one_of(
            flags.map(lambda found: yaml.safe_dump(found)),
            st.binary(max_size=60),
            st.text("&*[]{}:-!'\"\n a1.", max_size=80),
        ),
        holds,
    )


def test_any_change_of_a_stored_config_is_read_or_named(tmp_path: Path) -> None:
    file = tmp_path / "config.json"

    def holds(text: bytes) -> None:
        file.write_bytes(written_out(text))
        with contextlib.suppress(MoleflowError):
            stored_config(read_json(file), str(file))

    fuzz(changes(json.loads(json.dumps(parse(["--preset", "demo"])[0].to_json()))), holds)
