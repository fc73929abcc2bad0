"""Stored scores come back as they were."""

from pathlib import Path

import numpy as np
import pytest

from moleflow.data.sample import Sample
from moleflow.evaluation.scored import Scored
from moleflow.utils.errors import MoleflowError

SAMPLES = (
    Sample(Path("a b.png"), "bolt", 0, "good", None),
    Sample(Path("ü.png"), "bolt", 1, "crack", Path("m.png")),
)


def test_scores_come_back(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float16).astype(np.float32)
    Scored(SAMPLES, np.array([0.1, 0.7]), maps).save(tmp_path / "deep" / "one.npz")
    read = Scored.load(tmp_path / "deep" / "one.npz")
    assert read.samples == SAMPLES
    np.testing.assert_array_equal(read.images, [0.1, 0.7])
    np.testing.assert_array_equal(read.maps, maps)
    assert read.labels.tolist() == [0, 1]
    assert read.defects.tolist() == ["good", "crack"]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "one.npz").write_bytes(content)
    with pytest.raises(MoleflowError, match=r"one\.npz holds no scores"):
        Scored.load(tmp_path / "one.npz")
