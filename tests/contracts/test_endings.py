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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda file: file.stem)
def test_a_program_ends_with_an_exit_code_and_no_traceback(program: Path) -> None:
    tree = ast.parse(program.read_text())
    called = {node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
              for node in ast.walk(tree)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)}  # fmt: skip
    assert called & {"guarded", "exit_code"}
