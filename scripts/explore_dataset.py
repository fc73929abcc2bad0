#!/usr/bin/env python
"""Tell what is in a dataset: counts, sizes, types and areas of defects, example sheets; tables and figures into OUT."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.analysis.exploration import explore
from moleflow.config.cli import Parser
from moleflow.data.datasets import dataset_root, open_dataset


def main(words: Sequence[str]) -> int:
    """Write the analysis and print its page's place and the counts."""
    parser = Parser(prog="explore_dataset.py", description=__doc__)
    parser.add_argument("--dataset", default="mvtec", help="layout of the images (default: mvtec)")
    parser.add_argument("--data_path", help="folder of the dataset (default: $MOLEFLOW_DATA/<dataset>)")
    parser.add_argument("--task_classes", nargs="+", default=(), metavar="CLASS", help="classes (default: all)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    given = parser.parse_args(words)
    dataset = open_dataset(given.dataset, dataset_root(given.dataset, given.data_path))
    found = explore(dataset, given.task_classes, f"python scripts/explore_dataset.py {shlex.join(words)}")
    found.write(given.out)
    print(found.tables["counts"].markdown())
    print(given.out / "summary.md")
    return 0


if __name__ == "__main__":
    sys.exit(here.guarded(main))
