"""Searches for garbage are put off while large packages are imported, and left out at a program's end."""

import gc
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moleflow import __main__ as verbs
from moleflow.utils import torchvision_shim
from moleflow.utils.collecting import not_collecting

ROOT = Path(__file__).resolve().parents[2]
CYCLE = """
import gc
class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        print("searched", flush=True)
gc.collect()
gc.disable()
kept = Cycle()
"""
ENTRIES = {
    "nothing": "",
    "a run": "import run_moleflow, sys; sys.argv[1:] = ['--print_config']; run_moleflow.main()",
    "a verb": "from moleflow.__main__ import main; main(['--help'])",
    "a script": "import sys; sys.path.insert(0, 'scripts'); import here",
}


def printed(entry: str) -> str:
    """What a program prints that goes through an entry and ends with a cycle alive."""
    words = [sys.executable, "-c", ENTRIES[entry] + CYCLE]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_plain_program_searches_when_it_ends():
    assert "searched" in printed("nothing")


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "nothing"])
def test_programs_of_this_project_do_not(entry):
    assert "searched" not in printed(entry)


@pytest.mark.parametrize("before", [True, False])
def test_searching_goes_on_as_it_was(before):
    seen = []
    (gc.enable if before else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), not_collecting():
            seen.append(1 / gc.isenabled())
        seen.append(gc.isenabled())
    finally:
        gc.enable()
    assert seen == [before]


def test_torchvision_is_imported_without_searching(monkeypatch):
    seen = []
    monkeypatch.setattr(torchvision_shim.importlib, "import_module", lambda name: seen.append(gc.isenabled()) or sys)
    torchvision_shim.import_torchvision()
    assert seen == [False]


def test_a_verb_imports_what_is_large_without_searching(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(verbs, "import_module", lambda name: seen.append((name, gc.isenabled())))
    for verb in ("verify", "bench"):
        monkeypatch.setitem(
            verbs.VERBS, verb, verbs.VERBS[verb]._replace(run=lambda given: seen.append(gc.isenabled()) or 0)
        )
    assert verbs.main(["verify", "--run", "x"]) == verbs.main(["bench"]) == 0
    assert seen == [("moleflow.registry.stored_run", False), True, ("benchmarks.table", False), True]


@pytest.mark.parametrize("verb", verbs.VERBS)
def test_what_a_verb_needs_is_there(verb):
    assert importlib.util.find_spec(verbs.VERBS[verb].needs)
