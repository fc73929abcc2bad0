#!/usr/bin/env python
"""Many experiments from one file, and one table of all.

    scripts/run_experiments.py --config experiments.json --data_path products --out experiments

Models: every name of moleflow.baselines, moleflow itself, and flows that learn a stream otherwise (fine_tune, joint,
replay, ewc, task_separated). What is done is not done again; the same command goes on where it was stopped. The form of
the file: documents/baselines.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from here import guarded

from moleflow.config.cli import Parser
from moleflow.config.presets import PRESETS
from moleflow.experiments.conditions import read_experiments
from moleflow.experiments.run import FIGURE, TABLE, Experiments
from moleflow.utils.interrupt import listening
from moleflow.utils.text import refuse_unknown

STRONGER = {
    "data_path": ("DIR", str, "The dataset's folder, of every experiment."),
    "dataset": ("NAME", str, "Its layout, of every experiment."),
    "preset": ("NAME", str, "The preset of every experiment."),
    "backbone_name": ("NAME", str, "The backbone of every experiment."),
    "backbone_weights": ("FILE", str, "Its weights."),
    "feature_cache": ("DIR", str, "Folder of cached features (default: feature_cache in --out)."),
    "max_train_images": ("N", int, "Normal training images of a class, at most."),
    "seed": ("N", int, "Seed of every experiment."),
}
"""Flags of run_moleflow.py that win over the file: metavariable, type, what the help says."""


def parser() -> Parser:
    """The script's flags."""
    own = Parser("run_experiments.py", description=__doc__, allow_abbrev=False,
                 formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    own.add_argument("--config", type=Path, required=True, metavar="FILE", help="The experiments, JSON or YAML.")
    own.add_argument("--out", type=Path, default=Path("experiments"), metavar="DIR", help="Folder of what is found.")
    for flag, (metavar, kind, help_text) in STRONGER.items():
        own.add_argument(f"--{flag}", metavar=metavar, type=kind, help=help_text)
    own.add_argument("--task_classes", nargs="+", metavar="NAME", help="Classes of every experiment, in order.")
    own.add_argument("--only", nargs="+", default=[], metavar="NAME", help="Run these alone; the table has all.")
    own.add_argument("--check", action="store_true", help="Read the file, say what is in it, run nothing.")
    return own


def main(words: Sequence[str]) -> int:
    """Run them; the exit code is 0 (all done), 1 (one failed) or 2 (misuse)."""
    given = parser().parse_args(words)
    stronger = {name: getattr(given, name) for name in (*STRONGER, "task_classes")}
    flags = {name: value for name, value in stronger.items() if value not in (None, "")}
    refuse_unknown("--preset", [given.preset] if given.preset else [], PRESETS)
    experiments = read_experiments(given.config, flags)
    refuse_unknown("--only", given.only, {one.name: one for one in experiments})
    if given.check:
        print("\n".join(f"{one.name}: {one.model} {one.options or ''}".rstrip() for one in experiments))
        return 0
    chosen = [one for one in experiments if not given.only or one.name in given.only]
    with listening():
        failed = Experiments(chosen, given.out).run()
    print(Experiments(experiments, given.out).write())
    print(f"{given.out / TABLE}.md, {given.out / FIGURE}")
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
