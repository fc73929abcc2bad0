"""An image without a finite score is named and left out, or stops the evaluation; it is never ranked."""

import numpy as np
import pytest
from fake_products import Data, Products
from fakes import TINY, trained

from moleflow.config.task import Task
from moleflow.data.images import BadImage
from moleflow.data.sample import Sample
from moleflow.evaluation.evaluator import Evaluator


class Spoilt(Data):
    """Products of which one test image has no finite features."""

    def __init__(self, refuse: bool = False):
        super().__init__()
        self.refuse = refuse
        self.rejected: list[tuple[str, str]] = []

    def test(self, class_name: str, task: Task) -> Products:
        found = super().test(class_name, task)
        found.features[3, 0, 0, 0] = float("nan")
        return found

    def reject(self, sample: Sample, reason: str) -> None:
        if self.refuse:
            raise BadImage(sample.path, reason)
        self.rejected.append((str(sample.path), reason))


def test_it_is_left_out_of_every_number() -> None:
    data = Spoilt()
    evaluator = Evaluator(trained(["a", "b"], TINY), data, "squash")
    row = evaluator.evaluate(list(evaluator.model.tasks.values()))
    assert [path for path, _ in data.rejected] == ["a/3.png", "b/3.png"]
    assert all("not a finite number" in reason for _, reason in data.rejected)
    for name, scores in evaluator.scores.items():
        assert [sample.path.as_posix() for sample in scores.samples] == [f"{name}/{i}.png" for i in range(16) if i != 3]
        assert np.isfinite([*scores.oracle, *scores.routed]).all()
        assert len(scores.oracle_patches) == len(scores.unknown) == len(scores.routed_tasks) == 15
    assert all(np.isfinite(result.routed["image_auroc"]) for result in row.classes)


def test_it_stops_the_evaluation_where_nothing_may_be_left_out() -> None:
    evaluator = Evaluator(trained(["a"], TINY), Spoilt(refuse=True), "squash")
    with pytest.raises(BadImage, match=r"a/3.png: its score under the expert of 'a' is not a finite number"):
        evaluator.evaluate(list(evaluator.model.tasks.values()))
