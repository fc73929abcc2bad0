"""The one loop: when it stops, and what it leaves."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from moleflow.baselines.training import Course, Hook, Training, train
from moleflow.utils.errors import MoleflowError, UsageError


class Line(nn.Module):
    """y = w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.0))


def run(rate: float, training: Training, held_out: float = 1.0, hooks: tuple[Hook, ...] = ()) -> tuple[Line, Course]:
    """Draw w to 3; held-out images say otherwise."""
    line = Line()
    targets = torch.full((8, 1), 3.0)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return (line.w - batch).square().mean()

    optimizer = torch.optim.SGD(line.parameters(), lr=rate)
    return line, train(line, loss, optimizer, targets, torch.full((2, 1), held_out), training, hooks)


def test_the_weights_of_the_lowest_held_out_loss_are_kept():
    line, course = run(0.05, Training(early_stopping_patience=3, batch_size=8))
    best = min(range(len(course.held_out)), key=course.held_out.__getitem__)
    assert 0 < best < len(course.held_out) - 1 == best + 3
    assert course.ended == "early_stopping"
    assert line.w.item() == pytest.approx(1.0, abs=0.2)
    assert (line.w.item() - 1) ** 2 == pytest.approx(course.held_out[best])


def test_training_ends_when_epochs_run_out():
    line, course = run(0.05, Training(max_epochs=4, batch_size=4), held_out=3.0)
    assert (course.ended, course.steps, len(course.losses)) == ("max_epochs", 8, 4)
    assert not line.training
    assert line.w.item() == pytest.approx(3 * (1 - 0.9**8), abs=1e-4)


def test_the_clock_ends_it_in_the_middle_of_an_epoch(monkeypatch: pytest.MonkeyPatch):
    ticks = iter(range(100))
    monkeypatch.setattr("moleflow.baselines.training.time.process_time", lambda: float(next(ticks)))
    _, course = run(0.05, Training(max_seconds=3, batch_size=2), held_out=3.0)
    assert (course.ended, course.steps, course.seconds) == ("max_seconds", 3, 3.0)


def test_hooks_see_every_step_and_may_end_it():
    class Third(Hook):
        seen: ClassVar[list[int]] = []

        def step_ended(self, network: nn.Module, course: Course) -> str | None:
            self.seen.append(course.steps)
            return "enough" if course.steps == 3 else None

    _, course = run(0.05, Training(batch_size=2), hooks=(Third(),))
    assert Third.seen == [1, 2, 3]
    assert course.ended == "enough"


def test_a_single_image_left_over_has_no_step():
    _, course = run(0.05, Training(max_epochs=1, batch_size=7))
    assert course.steps == 1


def test_a_loss_that_is_no_number_ends_it_in_one_sentence():
    with pytest.raises(MoleflowError, match="training diverged after 8 steps: try a smaller learning_rate"):
        run(float("nan"), Training(batch_size=1))


@pytest.mark.parametrize("field", ["max_epochs", "max_seconds", "batch_size", "learning_rate"])
def test_what_cannot_be_is_refused(field: str):
    with pytest.raises(UsageError, match=f"{field} expects a number above 0"):
        Training(**{field: 0})
