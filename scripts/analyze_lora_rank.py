#!/usr/bin/env python
"""Spectra of the LoRA products of a finished run, per task and layer, beside products of random factors."""

import shlex
import sys
from pathlib import Path

from here import guarded

from moleflow.config.cli import Parser
from moleflow.utils.errors import UsageError


def build_parser() -> Parser:
    """The script's flags."""
    parser = Parser(prog="analyze_lora_rank.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="Folder of a finished run with LoRA.")
    parser.add_argument("--draws", type=int, default=20, help="Random products a layer (default: 20).")
    parser.add_argument(
        "--output_dir", type=Path, metavar="DIR", help="Where the findings go (default: analyses/lora_rank in the run)."
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
    from moleflow.analysis.weights.deltas import read_deltas
    from moleflow.analysis.weights.lora_rank import lora_rank

    command = shlex.join(["python", "scripts/analyze_lora_rank.py", *words])
    analysis = lora_rank(read_deltas(given.run), given.draws, command)
    analysis.write(given.output_dir or given.run / "analyses" / "lora_rank")
    print("\n".join(analysis.finding))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
