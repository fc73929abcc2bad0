#!/usr/bin/env python
"""The tables and figures of documents/accuracy.md, from a folder that scripts/run_accuracy.sh has filled."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import studies
from here import guarded

from moleflow.analysis.accuracy.failures import Failure
from moleflow.analysis.accuracy.page import accuracy_analysis
from moleflow.analysis.statistics.finished import FinishedRun
from moleflow.analysis.statistics.report import Resampling
from moleflow.data.datasets import open_dataset
from moleflow.data.images import load_image
from moleflow.evaluation.kept import relative_names
from moleflow.utils.errors import MoleflowError
from moleflow.utils.io import read_json

Shown = dict[tuple[str, str], np.ndarray]


def main(words: Sequence[str]) -> int:
    """Write tables over seeds, orders, peers, numbers of images and defects, and the worst failures."""
    parser = studies.parser(str(__doc__))
    parser.add_argument("folder", type=Path, help="The OUT of scripts/run_accuracy.sh.")
    parser.add_argument("--data_path", type=Path, help="Folder of the images (default: where the runs had them).")
    parser.add_argument("--resamples", type=int, default=1000, help="Of the bootstrap (default: 1000).")
    given = parser.parse_args(words)
    images = partial(shown, data_path=given.data_path)
    found = accuracy_analysis(given.folder, images, Resampling(given.resamples), studies.command())
    found.write(given.output_dir)
    print("\n".join(found.finding))
    return 0


def shown(run: FinishedRun, chosen: Sequence[Failure], data_path: Path | None) -> Shown:
    """The images of failures as the run saw them; none, with a word, where they are gone."""
    flags = read_json(run.folder / "config.json")["flags"]
    try:
        dataset = open_dataset(flags["dataset"], data_path or Path(flags["data_path"]))
        tested = {name: dataset.test(name) for name in {one.class_name for one in chosen}}
    except MoleflowError as error:
        print(f"no figure of failures: {error}", file=sys.stderr)
        return {}
    places = {(name, known): sample.path for name, samples in tested.items()
              for known, sample in zip(relative_names(samples), samples, strict=True)}  # fmt: skip
    return {
        (one.class_name, one.image): load_image(places[one.class_name, one.image], flags["img_size"], flags["resize"])
        for one in chosen
        if (one.class_name, one.image) in places
    }


if __name__ == "__main__":
    sys.exit(guarded(main))
