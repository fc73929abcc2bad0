#!/usr/bin/env python
"""Make a dataset to choose settings with, from normal training images alone: some held out, some damaged, with masks.

The result is in the MVTec layout: run_moleflow.py --dataset folder --data_path OUT judges any setting on it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.config.cli import Parser
from moleflow.data.datasets import dataset_root, open_dataset
from moleflow.data.synthetic.inner import Recipe, write_inner
from moleflow.data.synthetic.kinds import KINDS


def main(words: Sequence[str]) -> int:
    """Write what is asked for; a call that was interrupted goes on where it stopped."""
    parser = Parser(prog="make_inner_validation.py", description=__doc__)
    parser.add_argument("--dataset", default="mvtec", help="layout of the images (default: mvtec)")
    parser.add_argument("--data_path", help="folder of the dataset (default: $MOLEFLOW_DATA/<dataset>)")
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="classes to write (default: all)")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), metavar="KIND", help=f"some of {', '.join(KINDS)}")
    parser.add_argument(
        "--held_out",
        type=float,
        default=0.2,
        help="share of the normal images (default: 0.2); 0: none, all may be damaged, for validate_inside.py",
    )
    parser.add_argument("--per_kind", type=int, default=20, help="anomalies of each kind in a class (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the partition and of the anomalies (default: 0)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    given = parser.parse_args(words)
    recipe = Recipe(given.seed, given.held_out, given.per_kind, tuple(given.kinds))
    dataset = open_dataset(given.dataset, dataset_root(given.dataset, given.data_path))
    print(write_inner(dataset, given.classes or dataset.classes, given.out, recipe))
    return 0


if __name__ == "__main__":
    sys.exit(here.guarded(main))
