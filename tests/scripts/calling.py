"""Scripts called as from the command line, in this process: what is heavy is imported once for all of them."""

import contextlib
import importlib
import io
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Done(NamedTuple):
    """How a script ended, by the names that ``subprocess`` has for it."""

    returncode: int
    stdout: str
    stderr: str


def loaded(script: str) -> ModuleType:
    """A script as a module, which finds the modules beside it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(ROOT / "scripts"))
        return importlib.import_module(script.removesuffix(".py"))


def call(script: str, *words: object) -> Done:
    """Run a script; an error in the script itself is raised, where a process would print its traceback."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patched.setattr(sys, "argv", [str(ROOT / "scripts" / script), *map(str, words)])
        try:
            code = loaded("here").guarded(loaded(script).main)
        except SystemExit as end:  # a parser's
            code = end.code
    return Done(code, out.getvalue(), err.getvalue())
