"""Every program of the repository ends by the same rules (``moleflow/utils/ending.py``)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = [
    file
    for file in [ROOT / "run_moleflow.py", ROOT / "moleflow" / "__main__.py", *sorted((ROOT / "scripts").glob("*.py"))]
    if '__name__ == "__main__"' in file.read_text()
]


def test_programs_are_found() -> None:
    assert {"run_moleflow.py", "__main__.py", "analyze_routing.py", "pin_hashes.py"} <= {file.name for file in PROGRAMS}


def called(nodes: list[ast.stmt]) -> set[str]:
    """Names of the functions that statements call."""
    calls = [node.func for block in nodes for node in ast.walk(block) if isinstance(node, ast.Call)]
    return {function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in calls}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda file: file.stem)
def test_a_program_ends_with_an_exit_code_and_no_traceback(program: Path) -> None:
    """The last statement, or the ``main`` that it calls, leaves the ending to ``exit_code``."""
    body = ast.parse(program.read_text()).body
    last = called([body[-1]])
    mains = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert "guarded" in last or ("main" in last and "exit_code" in called(mains))
