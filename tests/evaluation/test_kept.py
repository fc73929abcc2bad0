"""Kept scores: what metrics were taken of comes back from the file, without images and model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_products import Data
from fakes import TINY, trained
from PIL import Image

from moleflow.config.task import Task
from moleflow.config.variants import HybridRouter
from moleflow.data.sample import Sample
from moleflow.evaluation.evaluator import Evaluator
from moleflow.evaluation.kept import KeptScores, drop_scores, file_of, keep_scores, read_scores
from moleflow.evaluation.metrics import image_metrics, pixel_metrics
from moleflow.utils.errors import MoleflowError
from moleflow.utils.sums import Sums

NAMES = ["a", "b/c"]


class Masked(Data):
    """The fake products with a mask for all defective images but the last."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def test(self, class_name: str, task: Task):
        """The class's test images."""
        found = super().test(class_name, task)
        found.samples = [self._masked(sample, place) for place, sample in enumerate(found.samples)]
        return found

    def _masked(self, sample: Sample, place: int) -> Sample:
        path = self.folder / sample.class_name / "test" / sample.defect / f"{place}.png"
        if not sample.label or place == 15:
            return replace(sample, path=path)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:9, 8 : 9 + place % 3] = 255
        file = self.folder / f"{place}.png"
        Image.fromarray(mask).save(file)
        return replace(sample, path=path, mask=file)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory) -> Evaluator:
    """Scores of two products; the likelihood sends some images elsewhere."""
    model = trained(NAMES, replace(TINY, router=HybridRouter(top_k=2)))
    found = Evaluator(model, Masked(tmp_path_factory.mktemp("masks")), "squash")
    found.evaluate(list(model.tasks.values()))
    scores = found.scores["a"]
    scores.routed_patches[3], scores.routed[3], scores.routed_tasks[3] = 7.0, 99.0, "b/c"
    return found


@pytest.fixture
def kept(evaluator, tmp_path) -> dict[str, KeptScores]:
    keep_scores(Sums(tmp_path), evaluator)
    return read_scores(tmp_path)


def test_every_class_comes_back_with_its_images(kept, evaluator):
    assert list(kept) == NAMES
    for name, scores in kept.items():
        source = evaluator.scores[name]
        assert scores.names[[0, 12]].tolist() == ["good/0.png", "hole/12.png"], "no place on this machine"
        assert scores.labels.tolist() == source.labels.tolist()
        assert scores.defects.tolist() == ["good"] * 10 + ["hole"] * 6
        assert scores.task == source.task
        assert scores.routed_tasks.tolist() == source.routed_tasks


def test_image_scores_are_exact_and_patches_nearly(kept, evaluator):
    for name, scores in kept.items():
        source = evaluator.scores[name]
        for route in ("oracle", "routed"):
            values = evaluator.as_measured(getattr(source, route), source.routed_tasks)
            assert scores.images(route).tolist() == values.tolist()
            patches = getattr(source, f"{route}_patches").numpy().ravel()
            slope = np.polyfit(patches, getattr(scores, f"{route}_patches").ravel(), 1)
            assert slope[0] > 0
            line = np.polyval(slope, patches)
            assert getattr(scores, f"{route}_patches").ravel() == pytest.approx(line, rel=2e-3, abs=2e-3)


def test_only_what_was_routed_elsewhere_differs(kept):
    assert not np.array_equal(kept["a"].routed_patches[3], kept["a"].oracle_patches[3])
    others = np.delete(np.arange(16), 3)
    same = kept["a"].routed_tasks[others] == "a"
    assert np.array_equal(kept["a"].routed_patches[others][same], kept["a"].oracle_patches[others][same])


def test_metrics_are_those_of_the_evaluation(kept, evaluator):
    for name, scores in kept.items():
        task = evaluator.model.tasks[name]
        exact = evaluator._result(name, task).oracle
        found = {**image_metrics(scores.labels, scores.oracle), **pixel_metrics(scores.truths, scores.maps("oracle"))}
        assert found == pytest.approx(exact, abs=5e-3)
        assert found["image_auroc"] == exact["image_auroc"]


def test_a_defect_without_a_mask_is_unknown(kept):
    scores = kept["a"]
    assert np.flatnonzero(~scores.known).tolist() == [15]
    assert scores.truths.shape == scores.maps("routed").shape == (15, 16, 16)
    assert scores.truths[:10].sum() == 0
    assert [int(truth.sum()) for truth in scores.truths[10:]] == [5 * (1 + place % 3) for place in range(10, 15)]


def test_far_outliers_stay_finite_and_on_top(kept, tmp_path):
    wild = kept["a"].oracle_patches.copy()
    wild[0, 0, 0] = 1e12
    replace(kept["a"], oracle_patches=wild).save(tmp_path / "wild.npz")
    again = KeptScores.load(tmp_path / "wild.npz").oracle_patches
    assert np.isfinite(again).all()
    assert again.argmax() == 0


def test_the_same_scores_give_the_same_bytes_and_gone_classes_go(kept, evaluator, tmp_path):
    before = {file.name: file.read_bytes() for file in (tmp_path / "scores").iterdir()}
    (tmp_path / "scores" / "gone.npz").write_bytes(b"")
    keep_scores(Sums(tmp_path), evaluator)
    assert {file.name: file.read_bytes() for file in (tmp_path / "scores").iterdir()} == before
    drop_scores(Sums(tmp_path))
    assert read_scores(tmp_path) == {}


def test_a_class_without_test_images_is_kept_too(kept, tmp_path):
    none = {name: getattr(kept["a"], name)[:0] for name in ("names", "labels", "defects", "routed_tasks", "oracle",
            "routed", "oracle_patches", "routed_patches", "known", "truths")}  # fmt: skip
    replace(kept["a"], **none).save(tmp_path / "none.npz")
    again = KeptScores.load(tmp_path / "none.npz")
    assert again.maps("oracle").shape == (0, 16, 16)


def test_damage_is_one_sentence(kept, tmp_path):
    file = file_of(tmp_path, "a")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(MoleflowError, match=r"holds no scores of a class that can be read .* takes them again"):
        KeptScores.load(file)
