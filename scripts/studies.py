"""Common parts of the analysis scripts: a parser, a command for the page, errors as one sentence."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import here  # noqa: F401

from moleflow.utils.errors import MoleflowError


def parser(sentence: str) -> argparse.ArgumentParser:
    """A parser whose ``--output_dir`` says where findings go."""
    made = argparse.ArgumentParser(description=sentence, allow_abbrev=False)
    made.add_argument("--output_dir", type=Path, required=True, help="Folder for numbers, figures, tables, summary.md.")
    return made


def command() -> str:
    """What was typed, as a page may show it."""
    script = f"scripts/{Path(sys.argv[0]).name}"
    return shlex.join(["python", script, *sys.argv[1:]])


def run(study: Callable[[], None]) -> int:
    """Do a study; the exit code is 0, 1 (failed) or 2 (misuse), and an error is one sentence."""
    try:
        study()
    except MoleflowError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
