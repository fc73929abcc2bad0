"""What the documents promise: every command parses, every file named is there."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from moleflow.__main__ import VERBS, _parse, _split
from moleflow.config.cli import Parser, parse
from moleflow.config.components import COMPONENTS
from moleflow.config.presets import ABLATIONS, ALIASES, PRESETS, SHORTHANDS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "documents").glob("*.md"))]
TEXTS = {document.name: document.read_text(encoding="utf-8") for document in DOCUMENTS}


def command_lines() -> list[str]:
    """Every command line of run_moleflow.py in the documents, continued lines joined."""
    joined = "\n".join(TEXTS.values()).replace("\\\n", " ")
    return [line.strip().strip("`") for line in re.findall(r"python run_moleflow\.py[^\n`|]*", joined)]


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_parses(line):
    parse([word for word in shlex.split(line, comments=True)[2:] if word not in ("…", "...")])


@pytest.mark.parametrize("line", re.findall(r"python -m moleflow [^\n`|#]*", "\n".join(TEXTS.values())))
def test_every_verb_with_its_flags_parses(line):
    _parse(*_split(shlex.split(line)[3:]))


def verbs_flags() -> set[str]:
    """Every flag of every verb of ``python -m moleflow``."""
    flags = set()
    for verb in VERBS.values():
        parser = Parser()
        verb.declare(parser)
        flags |= {option.lstrip("-") for action in parser._actions for option in action.option_strings}
    return flags


def scripts_flags() -> set[str]:
    """Every flag that a script in Python declares."""
    sources = "\n".join(script.read_text(encoding="utf-8") for script in ROOT.glob("scripts/*.py"))
    return set(re.findall(r"add_argument\(\s*\"--(\w+)\"", sources))


def test_there_are_command_lines_to_test():
    assert len(command_lines()) >= 3


def test_every_verb_of_run_sh_that_is_named_exists():
    script = (ROOT / "run.sh").read_text()
    verbs = set(re.findall(r"\./run\.sh (\w+)", "\n".join(TEXTS.values())))
    assert {"demo", "test"} <= verbs
    for verb in verbs:
        assert f"\n    {verb})" in script, verb


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name):
    folder = next(document for document in DOCUMENTS if document.name == name).parent
    for target in re.findall(r"\]\(([^)#]+)\)", TEXTS[name]):
        assert target.startswith("http") or (folder / target).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_every_source_file_named_exists(name):
    for place in re.findall(r"`((?:models|losses|extractors|evaluation|data|trainer)/[\w/]+\.py)`", TEXTS[name]):
        assert (ROOT / "moleflow" / place).exists(), place


@pytest.mark.parametrize("name", [name for name, component in COMPONENTS.items() if component.file])
def test_the_method_has_a_row_for_every_component_with_its_file(name):
    row = re.search(rf"^\| \**{name}\** \|.*(?:\n\|  *\|.*)*", TEXTS["method.md"], re.M)
    assert row, name
    assert f"`{COMPONENTS[name].file}`" in row[0], COMPONENTS[name].file


@pytest.mark.parametrize("name", TEXTS)
def test_every_flag_preset_and_ablation_named_exists(name):
    flags = parse(["--seed", "0"])[0].flags
    known = {*flags, "preset", "ablation", "config", "help", "print_config", *ALIASES, *SHORTHANDS}
    known |= {f"no_{flag.removeprefix('use_')}" for flag in flags} | verbs_flags() | scripts_flags()
    ours = re.sub(r"^    pip .*$", "", TEXTS[name], flags=re.M)
    for flag in re.findall(r"(?<![\w-])--([a-z]\w+)", ours):
        assert flag in known, flag
    assert set(re.findall(r"--preset (\w+)", TEXTS[name])) <= set(PRESETS)
    assert set(re.findall(r"--ablation (\w+)", TEXTS[name])) <= set(ABLATIONS)


def test_no_placeholder_is_left():
    for name, text in {**TEXTS, "run.sh": (ROOT / "run.sh").read_text()}.items():
        assert not re.search(r"\b[A-Z]+_(TABLE|NUMBERS)\b", text), name


def test_the_reproduction_table_lists_every_preset():
    rows = re.findall(r"^\| `(\w+)`", TEXTS["reproduce.md"], re.M)
    assert set(PRESETS) <= set(rows)


@pytest.mark.parametrize("name", TEXTS)
def test_every_script_named_exists_and_may_be_started(name):
    for script in re.findall(r"\bscripts/\w+\.(?:sh|py)\b", TEXTS[name]):
        assert (ROOT / script).stat().st_mode & 0o111, script


@pytest.mark.parametrize("script", ["run.sh", ".ci/run", *(f"scripts/{s.name}" for s in ROOT.glob("scripts/*.sh"))])
def test_shell_scripts_have_no_syntax_errors(script):
    done = subprocess.run(["bash", "-n", str(ROOT / script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_run_sh_explains_itself_and_refuses_what_it_does_not_know():
    helped = subprocess.run(["bash", str(ROOT / "run.sh")], capture_output=True, text=True, check=False)
    assert helped.returncode == 0
    assert "demo" in helped.stdout
    unknown = subprocess.run(["bash", str(ROOT / "run.sh"), "dmo"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    missing = subprocess.run(["bash", str(ROOT / "run.sh"), "main"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "DATA_PATH" in missing.stderr
