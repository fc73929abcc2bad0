"""Common parts of the analysis scripts: a parser, and the command that a page shows."""

import argparse
import shlex
import sys
from pathlib import Path

import here  # noqa: F401


def parser(sentence: str) -> argparse.ArgumentParser:
    """A parser whose ``--output_dir`` says where findings go."""
    made = argparse.ArgumentParser(description=sentence, allow_abbrev=False)
    made.add_argument("--output_dir", type=Path, required=True, help="Folder for numbers, figures, tables, summary.md.")
    return made


def command() -> str:
    """What was typed, as a page may show it."""
    script = f"scripts/{Path(sys.argv[0]).name}"
    return shlex.join(["python", script, *sys.argv[1:]])
