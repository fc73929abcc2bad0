"""Every promise of documents/reliability.md names a test, and the test exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "documents" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)))


@cache
def names_in(file: str) -> set[str]:
    """Names of the tests in a file."""
    source = (ROOT / file).read_text(encoding="utf-8")
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_named_exists(file, name):
    assert (ROOT / file).exists()
    assert name in names_in(file)


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(tests/[\w/]+\.py)", TEXT))))
def test_every_file_of_tests_named_exists(file):
    assert (ROOT / file).exists()


def test_every_row_names_a_test():
    rows = [
        line
        for line in TEXT.splitlines()
        if line.startswith("| ") and not line.startswith(("| fault", "| what", "| threat"))
    ]
    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row] == []


def test_every_test_of_faults_is_named():
    """A new test of a fault belongs into the table."""
    for file in (ROOT / "tests" / "faults").glob("test_*.py"):
        assert f"`tests/faults/{file.name}" in TEXT, file.name
