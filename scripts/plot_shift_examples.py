#!/usr/bin/env python
"""Draw what a shifted domain does to an image: one row a class; without --dataset, generated products."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import here

from moleflow.analysis.output import MAX_BYTES
from moleflow.analysis.shift_examples import draw_examples
from moleflow.config.cli import Parser
from moleflow.data.datasets import dataset_root, open_dataset
from moleflow.data.demo import write_demo
from moleflow.evaluation.report.figures.canvas import save


def main(words: Sequence[str]) -> int:
    """Write one PNG."""
    parser = Parser(prog="plot_shift_examples.py", description=__doc__)
    parser.add_argument("--dataset", default="demo", help="layout of the images (default: demo, generated)")
    parser.add_argument("--data_path", help="folder of the dataset (default: $MOLEFLOW_DATA/<dataset>)")
    parser.add_argument("--task_classes", nargs="+", default=("fabric", "washer"), metavar="CLASS", help="rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[7, 37], help="of the rows, in turn (default: 7 37)")
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as scratch:
        if given.dataset == "demo" and not given.data_path:
            root = write_demo(Path(scratch, "demo"), classes=given.task_classes, train=1, test_good=0, per_defect=1)
        else:
            root = dataset_root(given.dataset, given.data_path)
        figure = draw_examples(open_dataset(given.dataset, root), given.task_classes, given.seeds)
    save(figure, given.out, MAX_BYTES)
    return 0


if __name__ == "__main__":
    sys.exit(here.guarded(main))
