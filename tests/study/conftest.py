"""Two tiny products, split and shifted once a session, before a stand-in backbone; peers without anomalib."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_peer import CLASSES, SEVERITIES, MeanMethod
from fakes import SIZE, TINY, TRAINING, PixelExtractor

from moleflow.config.resolve import Resolved
from moleflow.config.run import DataConfig, RunConfig
from moleflow.data.datasets import open_dataset
from moleflow.data.demo import write_demo
from moleflow.data.splits import Split
from moleflow.extractors.cache import FeatureStore
from moleflow.study.bench import Bench
from moleflow.study.data import open_splits
from moleflow.study.methods import METHODS


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products."""
    folder = tmp_path_factory.mktemp("study") / "products"
    return write_demo(folder, classes=CLASSES, train=12, test_good=4, per_defect=3, size=64)


@pytest.fixture(scope="session")
def splits(products: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Split]]:
    """Their splits, clean and shifted."""
    return open_splits(open_dataset("folder", products), CLASSES, SEVERITIES, tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="session")
def bench(splits: dict[str, dict[str, Split]]) -> Bench:
    """The products before the stand-in backbone."""
    run = RunConfig(data=DataConfig(img_size=SIZE, val_fraction=0.2), training=replace(TRAINING, num_steps=3))
    return Bench(Resolved(TINY, run, {}, {}), FeatureStore(PixelExtractor(), "squash", None), splits)


@pytest.fixture(autouse=True)
def mean_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """``mean`` is one of the methods."""
    monkeypatch.setitem(METHODS, "mean", MeanMethod)
