"""Experts under a memory limit: bounded, read again when asked for, and the same to the bit."""

from pathlib import Path

import pytest
import torch
from fakes import product_features, tiny_model, trained

from moleflow.models.experts import ALWAYS_THERE, AllInMemory, LastUsed
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import per_task_parts
from moleflow.trainer.checkpoint import RunFolder
from moleflow.utils.errors import UsageError

NAMES = ["a", "b", "c", "d"]
SEED = 0


@pytest.fixture
def whole() -> MoLEFlow:
    return trained(NAMES)


@pytest.fixture
def folder(whole: MoLEFlow, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for task in whole.tasks.values():
        folder.save_task(whole, task, torch.float16, SEED)
    return folder


def limited(folder: RunFolder, limit: int, names: list[str] = NAMES) -> tuple[MoLEFlow, LastUsed]:
    model = tiny_model()
    folder.load_base(model)
    model.experts = experts = LastUsed(model, model.tasks, folder, limit)
    for name in names:
        model.begin_task(folder.stored_task(name), SEED)
        folder.load_task(model, model.tasks[name])
    return model, experts


def bytes_of(model: MoLEFlow, name: str) -> int:
    """What a task's copies take, but for those that are always there; none, where they were given up."""
    parts = [part for path, part in per_task_parts(model) if path.split(".")[0] not in ALWAYS_THERE and name in part]
    return sum(value.nbytes for part in parts for value in part[name].state_dict().values())


def test_memory_is_bounded_and_predictions_are_the_same_to_the_bit(whole: MoLEFlow, folder: RunFolder) -> None:
    one = bytes_of(whole, "a")
    model, experts = limited(folder, int(2.5 * one))
    assert isinstance(whole.experts, AllInMemory)
    for name in [*NAMES, *reversed(NAMES), "a"]:
        images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(sum(name.encode())))
        for tasks in ([name] * 3, None):
            found, expected = model.predict(images, tasks), whole.predict(images, tasks)
            assert found.tasks == expected.tasks
            assert torch.equal(found.scores, expected.scores)
            assert torch.equal(found.maps, expected.maps)
            assert torch.equal(found.thresholds, expected.thresholds)
        if len(experts.in_memory) == 2:
            assert sum(bytes_of(model, task) for task in NAMES) == experts.bytes <= experts.limit
    assert len(experts.in_memory) == 2


def test_those_not_used_for_longest_are_given_up(whole: MoLEFlow, folder: RunFolder) -> None:
    model, experts = limited(folder, int(2.5 * bytes_of(whole, "a")))
    for name in "abac":
        model.score(product_features("a", 2), [name] * 2)
    assert experts.in_memory == ["a", "c"]


def test_a_limit_below_one_expert_keeps_the_one_in_use(folder: RunFolder) -> None:
    model, experts = limited(folder, 1)
    model.score(product_features("a", 3), ["a", "b", "a"])
    assert experts.in_memory == ["b"]


def test_what_is_in_no_file_stays(whole: MoLEFlow, tmp_path: Path) -> None:
    whole.experts = LastUsed(whole, whole.tasks, RunFolder(tmp_path / "empty"), 1)
    whole.score(product_features("a", 4), NAMES)
    assert whole.experts.in_memory == NAMES


def test_an_expert_that_was_given_up_can_be_removed(folder: RunFolder) -> None:
    model, experts = limited(folder, 1)
    model.score(product_features("a", 2), ["a", "b"])
    model.remove_task("a")
    model.score(product_features("b", 2), ["b", "c"])
    assert experts.in_memory == ["c"]
    with pytest.raises(UsageError, match="No expert is called 'a'"):
        model.score(product_features("a", 1), ["a"])
