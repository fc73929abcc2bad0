"""The reason for the method: shared weights that always learn forget, frozen ones with experts of their own do not."""

from dataclasses import replace

import pytest
from fakes import TINY, TRAINING
from textures import task_matrix

from moleflow.config.presets import ABLATIONS
from moleflow.config.variants import Distillation, Ewc, Flow, NoAdapter, NoDia, NoLora, Ogp, Replay, WhiteningNoNorm
from moleflow.evaluation.continual import backward_transfer, forgetting

TRAINING = replace(TRAINING, num_steps=40, num_epochs=1000, batch_size=8, lr=3e-2)
FULL = replace(TINY, adapter=WhiteningNoNorm())
"""The method on six channels, of which layer norm would leave too little."""
ALL_SHARED = replace(FULL, lora=NoLora(), dia=NoDia(), adapter=NoAdapter(), flow=Flow(layers=2, base_policy="always"))


def test_the_row_all_shared_is_what_is_trained_here():
    flags = {"use_lora": False, "use_dia": False, "adapter_mode": "none", "base_policy": "always"}
    assert ABLATIONS["all_shared"].flags == flags


def test_the_full_method_forgets_nothing_at_all():
    matrix = task_matrix(FULL, "abc", TRAINING)
    assert matrix[0][0] > 0.8
    assert forgetting(matrix) == 0.0
    assert backward_transfer(matrix) == 0.0
    assert [row[0] for row in matrix] == [matrix[0][0]] * 3


def test_everything_shared_and_always_trained_collapses():
    matrix = task_matrix(ALL_SHARED, "abc", TRAINING)
    assert matrix[0][0] > 0.8, "it can learn a task"
    assert forgetting(matrix) > 0.2
    assert matrix[2][0] < 0.65, "little more than chance is left of the first task"


@pytest.fixture(scope="module")
def lost():
    """What is forgotten where nothing protects the shared weights."""
    return forgetting(task_matrix(ALL_SHARED, "ab", TRAINING))


@pytest.mark.parametrize(
    "protector",
    [Ogp(threshold=0.999, samples=24), Ewc(1e4), Replay(12, 3.0), Distillation(100.0)],
    ids=lambda protector: type(protector).__name__,
)
def test_a_protected_base_forgets_less(lost, protector):
    assert lost > 0.25
    assert forgetting(task_matrix(replace(ALL_SHARED, protector=protector), "ab", TRAINING)) < 0.8 * lost
