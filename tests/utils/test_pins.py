"""The pins with hashes are those of requirements.txt, and all that these need."""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from moleflow.utils.pins import hashed, normalized, pins_of

ROOT = Path(__file__).resolve().parents[2]
PINS = pins_of((ROOT / "requirements.txt").read_text(encoding="utf-8"))
HASHED = (ROOT / "requirements-hashes.txt").read_text(encoding="utf-8")
SCRIPT = [sys.executable, str(ROOT / "scripts" / "pin_hashes.py")]


def test_every_pin_is_there_with_its_version():
    found = pins_of(HASHED)
    assert {name: found.get(name, "").removesuffix("+cpu") for name in PINS} == PINS


def test_every_line_has_one_sha256():
    lines = [line for line in HASHED.splitlines() if not line.startswith("#")]
    assert len(lines) == len(pins_of(HASHED)) > len(PINS)
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


@pytest.mark.parametrize("name", sorted(pins_of(HASHED)))
def test_what_a_package_needs_is_pinned_too(name):
    try:
        needed = requires(name) or []
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed here")
    always = [need for need in needed if ";" not in need]
    missing = {normalized(re.match(r"[\w.-]+", need)[0]) for need in always} - set(pins_of(HASHED))
    assert not missing


def package(name: str, version: str, digest: str) -> dict:
    archive = {"hashes": {"sha256": digest}}
    return {"metadata": {"name": name, "version": version}, "download_info": {"url": "", "archive_info": archive}}


def test_lines_are_sorted_and_spelled_as_indexes_do():
    text = hashed([package("PyYAML", "6.0", "b" * 64), package("a.B_c", "1", "a" * 64)])
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [f"a-b-c==1 --hash=sha256:{'a' * 64}", f"pyyaml==6.0 --hash=sha256:{'b' * 64}"]


@pytest.mark.parametrize("given", ["", "[]", "{}", json.dumps({"install": [{"metadata": {"name": "x"}}]})])
def test_what_is_no_report_is_misuse(given):
    done = subprocess.run(SCRIPT, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a report of pip")
    assert "Traceback" not in done.stderr


def test_the_script_explains_itself():
    done = subprocess.run([*SCRIPT, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:")
    assert subprocess.run([*SCRIPT, "file"], capture_output=True, check=False).returncode == 2
