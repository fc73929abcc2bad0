#!/usr/bin/env python
"""Do tasks share directions? CKA and principal angles between the LoRA products of a run, or of several seeds."""

import shlex
import sys
from pathlib import Path

from here import guarded

from moleflow.config.cli import Parser
from moleflow.utils.errors import UsageError


def build_parser() -> Parser:
    """The script's flags."""
    parser = Parser(prog="analyze_cross_task_lora.py", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--run", required=True, nargs="+", type=Path, metavar="DIR", help="Finished runs of one stream."
    )
    parser.add_argument("--draws", type=int, default=20, help="Random pairs of subspaces a layer (default: 20).")
    parser.add_argument(
        "--output_dir",
        type=Path,
        metavar="DIR",
        help="Where the findings go (default: analyses/cross_task_lora in the first run).",
    )
    return parser


def main(words: list[str]) -> int:
    """Analyse.

    Raises:
        MoleflowError: misuse, or a run cannot be read.
    """
    given = build_parser().parse_args(words)
    if given.draws < 2:
        raise UsageError(f"--draws expects at least 2, found {given.draws}.")
    from moleflow.analysis.weights.cross_task import cross_task
    from moleflow.analysis.weights.deltas import read_deltas

    command = shlex.join(["python", "scripts/analyze_cross_task_lora.py", *words])
    analysis = cross_task([read_deltas(run) for run in given.run], given.draws, command)
    analysis.write(given.output_dir or given.run[0] / "analyses" / "cross_task_lora")
    print("\n".join(analysis.finding))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
