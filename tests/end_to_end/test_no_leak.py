"""No file of a test split is touched while experts are trained, whatever the layout of the dataset."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from layouts import btad, domains, product, shifted, visa

from moleflow.data.datasets import DATASETS, open_dataset
from moleflow.data.demo import write_demo

HERE = Path(__file__).resolve().parent
CLASSES = {
    "demo": ("fabric", "washer"), "mvtec": ("bottle", "tile"), "folder": ("bolt", "nut"), "visa": ("candle", "pcb1"),
    "mpdd": ("tubes", "connector"), "btad": ("01", "02"), "domains": ("domain_A", "domain_B"),
    "shifted": ("bolt", "nut"),
}  # fmt: skip
"""Two products of every dataset: the second is trained when the first has been tested."""
QUICK = [
    *("--preset", "demo", "--img_size", "64", "--num_steps", "2", "--batch_size", "2", "--no_figures", "--no_resume"),
    *("--num_coupling_layers", "2", "--dia_n_blocks", "1", "--embed_dim", "16", "--feature_grid", "4"),
    *("--no_tensorboard", "--val_fraction", "0.4", "--use_place_gaussian", "--use_patch_memory"),
    *("--router_reject_rate", "0.1", "--score_calibration", "zscore", "--use_region_thresholds"),
]
"""Everything that learns from images, as small as it goes."""


def products(root: Path, *names: str) -> None:
    for name in names:
        product(root, name)


MADE: dict[str, Callable[[Path], Any]] = {
    "demo": lambda root: write_demo(root, classes=CLASSES["demo"], train=4, test_good=1, per_defect=1, size=64),
    "mvtec": lambda root: products(root, *CLASSES["mvtec"]),
    "folder": lambda root: products(root, *CLASSES["folder"]),
    "visa": lambda root: visa(root, *CLASSES["visa"]),
    "mpdd": lambda root: products(root, *CLASSES["mpdd"]),
    "btad": btad,
    "domains": domains,
    "shifted": lambda root: shifted(root, *CLASSES["shifted"]),
}
FAST = ("visa", "shifted")


BATCHES = [pytest.param(FAST, id="some"), pytest.param(sorted({*MADE} - {*FAST}), id="others", marks=pytest.mark.slow)]


def watched(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """For some datasets, each in a folder of its name: the exit code, and the files touched in each half of a run."""
    jobs = []
    for name in names:
        MADE[name](folder / name)
        places = ["--dataset", name, "--data_path", str(folder / name), "--task_classes", *CLASSES[name]]
        logs = ["--log_dir", str(folder / "logs"), "--experiment_name", name, "--feature_cache", str(folder / "cache")]
        jobs.append({"name": name, "words": [*QUICK, *places, *logs]})
    done = subprocess.run(
        [sys.executable, str(HERE / "watch_training.py")], input=json.dumps(jobs), capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_dataset_is_watched() -> None:
    assert set(MADE) == set(CLASSES) == set(DATASETS)


@pytest.mark.parametrize("names", BATCHES)
def test_training_touches_training_images_and_no_test_file(tmp_path: Path, names: Sequence[str]) -> None:
    for name, touched in watched(tmp_path, names).items():
        assert touched["code"] == 0, name
        dataset = open_dataset(name, tmp_path / name)
        train = {str(sample.path) for product in CLASSES[name] for sample in dataset.train(product)}
        tested = [sample for product in CLASSES[name] for sample in dataset.test(product)]
        test = {str(path) for sample in tested for path in (sample.path, sample.mask) if path}
        assert train <= set(touched["training"]), f"{name}: the hook sees what is opened"
        assert not set(touched["training"]) & test, name
        assert {str(sample.path) for sample in tested} <= set(touched["evaluation"]), (
            f"{name}: it sees test images, too"
        )
