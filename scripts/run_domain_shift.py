#!/usr/bin/env python
"""The domain-shift study: clean -> shifted as it is -> new threshold -> fitted anew -> one model of all classes.

    scripts/run_domain_shift.py --data_path products --classes screw magnetic_tile --out study

Every flag of run_moleflow.py is taken too; without --preset and --config the settings are those of the preset
realstream with the backbone's strides 8 and 16, which all methods see. A study that stopped goes on with the same
command.
"""

import argparse
import shlex
import sys
from pathlib import Path

import here  # noqa: F401

from moleflow.analysis.shift.report import write_all
from moleflow.config.cli import Parser, parse
from moleflow.config.resolve import Resolved
from moleflow.data.shift.domain import SEVERITIES
from moleflow.study.methods import METHODS
from moleflow.study.run import Study
from moleflow.study.sides import SIDES
from moleflow.utils.ending import exit_code
from moleflow.utils.errors import UsageError

DEFAULT = ["--preset", "realstream", "--cnn_layers", "layer2", "layer3"]
REFUSED = ("base_from", "experiment_name", "log_dir", "resume", "overwrite", "stop_after", "cl_scenario", "task_order",
           "run_diagnostics")  # fmt: skip
"""Flags of a run that mean nothing here."""


def parser() -> Parser:
    """The study's own flags."""
    own = Parser("run_domain_shift.py", description=__doc__, allow_abbrev=False,
                 formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    own.add_argument("--out", type=Path, required=True, metavar="DIR", help="Folder of all that is found.")
    own.add_argument("--classes", nargs="+", default=[], metavar="CLASS", help="Products (default: all).")
    own.add_argument(
        "--severities",
        nargs="+",
        default=list(SEVERITIES),
        metavar="NAME",
        help=f"Some of {', '.join(SEVERITIES)} (default: all).",
    )
    own.add_argument(
        "--methods",
        nargs="+",
        default=list(METHODS),
        metavar="NAME",
        help=f"Some of {', '.join(METHODS)} (default: all).",
    )
    own.add_argument(
        "--sides",
        nargs="*",
        default=list(SIDES),
        metavar="NAME",
        help=f"Side studies, some of {', '.join(SIDES)} (default: all; no name: none).",
    )
    return own


def configured(words: list[str], classes: list[str]) -> Resolved:
    """What the other flags say.

    Raises:
        UsageError: one is unknown, or means nothing here.
    """
    default = [] if {"--preset", "--config"} & set(words) else DEFAULT
    resolved, only_print = parse([*default, *words, *(["--task_classes", *classes] if classes else [])])
    refused = ["print_config"] if only_print else [name for name in REFUSED if resolved.sources.get(name) == "cli"]
    for flag in refused:
        raise UsageError(f"--{flag} is for run_moleflow.py: the study decides that itself; leave it out.")
    return resolved


def main(words: list[str]) -> int:
    """Run the study; the exit code is 0 (done), 1 (failed), 2 (misuse) or 130 (interrupted)."""
    return exit_code(lambda: study(words), "what is done is kept, the same command goes on")


def study(words: list[str]) -> int:
    """Run what is missing, and tell everything."""
    given, others = parser().parse_known_args(words)
    resolved = configured(others, given.classes)
    command = shlex.join(["scripts/run_domain_shift.py", *words])
    names = (tuple(given.methods), tuple(given.severities), tuple(given.sides))
    print(Study(given.out, resolved, *names, command).run())
    for sentence in write_all(given.out):
        print(sentence)
    print(f"tables and figures: {given.out / 'report' / 'summary.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
