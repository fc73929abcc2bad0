#!/usr/bin/env python
"""Write shifted domains of a dataset, one folder a severity: OUT/<severity>/<class>/<part>/{images,masks}/."""

import sys
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.config.cli import Parser
from moleflow.data.datasets import dataset_root, open_dataset
from moleflow.data.shift.domain import SEVERITIES, TRANSFORMS, DomainShift
from moleflow.data.shift.write import write_shifted
from moleflow.data.splits import SEED, open_split


def main(words: Sequence[str]) -> int:
    """Write what is asked for; a call that was interrupted goes on where it stopped."""
    parser = Parser(prog="make_shifted.py", description=__doc__)
    parser.add_argument("--dataset", default="mvtec", help="layout of the images (default: mvtec)")
    parser.add_argument("--data_path", help="folder of the dataset (default: $MOLEFLOW_DATA/<dataset>)")
    parser.add_argument("--task_classes", nargs="+", metavar="CLASS", help="classes to write (default: all)")
    parser.add_argument("--severities", nargs="+", default=["moderate"], help=f"some of {', '.join(SEVERITIES)}")
    parser.add_argument("--transforms", nargs="+", default=list(TRANSFORMS), help=f"some of {', '.join(TRANSFORMS)}")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of splits and of first images (default: {SEED})")
    parser.add_argument("--splits", type=Path, help="folder of the splits' JSON files (default: OUT/splits)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    given = parser.parse_args(words)
    shifts = [DomainShift(severity, tuple(given.transforms)) for severity in given.severities]
    dataset = open_dataset(given.dataset, dataset_root(given.dataset, given.data_path))
    folder, classes = given.splits or given.out / "splits", given.task_classes or dataset.classes
    splits = [open_split(dataset, name, folder, given.seed) for name in classes]
    for shift in shifts:
        print(write_shifted(dataset.root, splits, shift, given.out / shift.severity, given.seed))
    return 0


if __name__ == "__main__":
    sys.exit(here.guarded(main))
