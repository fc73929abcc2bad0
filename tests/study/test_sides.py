"""Side studies on tiny products; those that fit PatchCore get a stand-in where anomalib is not installed."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_peer import CLASSES, SEVERITIES
from torch import Tensor

from moleflow.baselines.base import PeerScores
from moleflow.baselines.patchcore import PatchCore
from moleflow.baselines.registry import PEERS, Entry
from moleflow.study.bench import Bench
from moleflow.study.layout import CLEAN, RESULT, STUDY, side
from moleflow.study.phases import Phases
from moleflow.study.sides import SIDES, WITH_PATCHCORE, run_side, sides_left
from moleflow.study.sides.coreset import RATIOS
from moleflow.study.sides.regions import _threshold, _worth


class PlainPatchCore(PatchCore):
    """Nearest of every so-manieth patch, without anomalib."""

    def __init__(self, img_size: int, coreset_ratio: float = 0.01, candidates: int = 0, seed: int = 0):
        self.img_size, self.ratio = img_size, coreset_ratio

    def fit(self, batches: Iterable[Tensor], held_out: Iterable[Tensor] = ()) -> None:
        """Keep every so-manieth."""
        patches = torch.cat([batch.flatten(0, 2) for batch in batches])
        self.kept = patches[:: round(1 / self.ratio)]

    @property
    def bank(self) -> Tensor:
        """The kept patches."""
        return self.kept

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """By brute force."""
        found = torch.cdist(features.flatten(0, 2), self.kept).min(1)
        return found.values.reshape(features.shape[:-1]), found.indices.reshape(features.shape[:-1])

    def score(self, features: Tensor) -> PeerScores:
        """The largest distance."""
        distances = self.nearest(features)[0]
        maps = torch.nn.functional.interpolate(distances[:, None], size=(self.img_size, self.img_size))[:, 0]
        return PeerScores(distances.amax((1, 2)).numpy(), maps.numpy())


@pytest.fixture(scope="module")
def out(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with the fake peer's phases."""
    out = tmp_path_factory.mktemp("sides")
    (out / STUDY).write_text(json.dumps({"methods": ["mean"], "severities": SEVERITIES, "classes": CLASSES}))
    return out


@pytest.fixture
def rows(bench: Bench, out: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the side study of the test's name found."""
    monkeypatch.setattr("moleflow.study.sides.common.PatchCore", PlainPatchCore)
    monkeypatch.setitem(PEERS, "patchcore", Entry("memory_based", PlainPatchCore))  # type: ignore[arg-type]
    phases = Phases(bench, "mean", out)
    for pair in phases.todo():
        phases.run(*pair)
    name = request.param
    run_side(name, bench, out)
    assert name not in sides_left(out, [name])
    return json.loads((side(out, name) / RESULT).read_text())["rows"]


@pytest.mark.parametrize("rows", ["coreset"], indirect=True)
def test_a_larger_memory_costs_more(rows: list[dict]):
    assert [(row["class"], row["ratio"]) for row in rows] == [(name, ratio) for name in CLASSES for ratio in RATIOS]
    patches = [row["patches"] for row in rows[: len(RATIOS)]]
    assert patches == sorted(patches)
    assert all(row["bytes"] == 4 * 6 * row["patches"] and 0 <= row["image_auroc"] <= 1 for row in rows)


@pytest.mark.parametrize("rows", ["aggregation"], indirect=True)
def test_every_aggregation_is_measured_on_the_same_distances(rows: list[dict]):
    ways = ["max", "reweighted", "top_3", "mean"]
    assert [(row["class"], row["aggregation"]) for row in rows] == [(name, way) for name in CLASSES for way in ways]
    for row in (rows[:4], rows[4:]):
        assert row[0]["image_auroc"] == row[1]["image_auroc"]  # the stand-in reweighs nothing


@pytest.mark.parametrize("rows", ["projection"], indirect=True)
def test_no_projection_is_left_where_the_features_are_narrow(rows: list[dict]):
    assert [(row["class"], row["projection"], row["dim"]) for row in rows] == [(name, "none", 6) for name in CLASSES]


@pytest.mark.parametrize("rows", ["confusion"], indirect=True)
def test_shares_of_nearest_classes_sum_to_one(rows: list[dict]):
    assert [row["severity"] for row in rows] == [CLEAN, *SEVERITIES]
    for row in rows:
        np.testing.assert_allclose(np.sum(row["matrix"], axis=1), 1)
    assert rows[0]["matrix"][0][0] > 0.5 < rows[0]["matrix"][1][1]


@pytest.mark.parametrize("rows", ["regions"], indirect=True)
def test_regions_are_measured_for_every_cell_of_full(rows: list[dict]):
    expected = {("mean", severity, name, grid) for severity in SEVERITIES for name in CLASSES for grid in (1, 2, 4)}
    assert {(row["method"], row["severity"], row["class"], row["regions"]) for row in rows} == expected


@pytest.mark.parametrize("rows", ["latency"], indirect=True)
def test_latency_has_the_backbone_and_each_method(rows: list[dict]):
    assert [row["part"] for row in rows] == ["backbone", "mean"]
    assert all(row["ms_per_image"] > 0 for row in rows)


@pytest.mark.parametrize("rows", ["embeddings"], indirect=True)
def test_embeddings_are_test_patches_with_their_class_and_severity(bench: Bench, out: Path, rows: list[dict]):
    with np.load(side(out, "embeddings") / "embeddings.npz") as stored:
        assert len(stored["features"]) == sum(row["patches"] for row in rows) == len(stored["class_name"])
        assert set(stored["severity"]) == {CLEAN, *SEVERITIES}
        assert 0 < stored["defect"].mean() < 0.9
        mine = (stored["class_name"] == "washer") & (stored["severity"] == "mild")
        test = torch.cat(list(bench.batches(bench.part("mild", "washer", "test")))).flatten(0, 2).half()
        known = {row.numpy().tobytes() for row in test}
        assert {row.tobytes() for row in stored["features"][mine]} <= known


@pytest.mark.parametrize("rows", ["generalisation"], indirect=True)
def test_every_pair_of_severities_is_there_once_and_agrees_with_the_phases(out: Path, rows: list[dict]):
    pairs = {(row["class"], row["trained_on"], row["tested_on"]): row for row in rows}
    assert len(pairs) == len(rows) == len(CLASSES) * (1 + len(SEVERITIES)) ** 2
    none = json.loads((out / "mean" / "severe" / "none" / "washer" / RESULT).read_text())
    assert pairs["washer", CLEAN, "severe"]["image_auroc"] == none["metrics"]["image_auroc"]


def test_a_threshold_for_each_region_finds_what_one_for_all_misses():
    """The left half's scores are all higher; only there do regions differ from one threshold."""
    truth = np.zeros((1, 4, 4), bool)
    truth[0, 0, 0] = truth[0, 0, 3] = True
    maps = np.ones((1, 4, 4))
    maps[:, :, :2] = 10
    maps[truth] += 2
    together, apart = (_worth(grid, maps, truth, maps, truth) for grid in (1, 2))
    assert apart == {"pixel_f1": 1.0, "pixel_precision": 1.0, "pixel_recall": 1.0}
    assert together["pixel_f1"] < 1
    assert _threshold(np.array([1.0, 3.0]), np.array([False, False])) == 3


def test_what_fits_patchcore_is_listed_so():
    folder = Path(__file__).resolve().parents[2] / "moleflow" / "study" / "sides"
    users = {
        file.stem
        for file in folder.glob("*.py")
        if "import" in file.read_text() and re.search(r"\bpatchcore\(", file.read_text())
    }
    assert users - {"common"} == set(WITH_PATCHCORE)
    assert set(WITH_PATCHCORE) < set(SIDES)
