"""One loop for all peers that learn by gradient; what differs between them are loss, optimizer and hooks."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moleflow.utils.errors import MoleflowError, UsageError

Loss = Callable[[Tensor], Tensor]
"""A batch of what the peer sees -> a scalar, the same whatever mode the network is in."""


@dataclass(frozen=True)
class Training:
    """How long and with what a peer is trained.

    Attributes:
        max_epochs: passes over the images, at most.
        max_seconds: seconds of this process's CPU time, at most; None: no limit. A limit makes results depend on the
            machine.
        early_stopping_patience: epochs without a lower loss on held-out images before training stops.
        batch_size: images a step.
        learning_rate: None: the one of the peer's own recipe.
    """

    max_epochs: int = 100
    max_seconds: float | None = None
    early_stopping_patience: int = 10
    batch_size: int = 8
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "max_seconds", "early_stopping_patience", "batch_size", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} expects a number above 0, found {value}.")


@dataclass
class Course:
    """What happened so far.

    Attributes:
        steps: steps of the optimizer.
        losses: mean training loss of each epoch.
        held_out: loss on held-out images after each epoch.
        seconds: CPU time used.
        ended: why training ended.
    """

    steps: int = 0
    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    seconds: float = 0.0
    ended: str = "max_epochs"


class Hook:
    """Something that looks on. A sentence ends training, and says why."""

    def step_ended(self, network: nn.Module, course: Course) -> str | None:
        """After each step."""
        return None

    def epoch_ended(self, network: nn.Module, course: Course) -> str | None:
        """After each epoch, its losses known; the last epoch may have been cut short."""
        return None

    def training_ended(self, network: nn.Module, course: Course) -> None:
        """At the end."""


class Clock(Hook):
    """Ends training after so many seconds of CPU time.

    Args:
        seconds: how many; None: never.
    """

    def __init__(self, seconds: float | None):
        self.seconds, self.start = seconds, time.process_time()

    def step_ended(self, network: nn.Module, course: Course) -> str | None:
        """Look at the time."""
        course.seconds = time.process_time() - self.start
        return "max_seconds" if self.seconds is not None and course.seconds >= self.seconds else None


class EarlyStopping(Hook):
    """Keeps the weights of the lowest loss on held-out images, and ends training when it falls no more.

    Args:
        patience: epochs without a lower one.
    """

    def __init__(self, patience: int):
        self.patience = patience
        self.best: dict[str, Tensor] = {}
        self.epoch = 0

    def epoch_ended(self, network: nn.Module, course: Course) -> str | None:
        """Compare."""
        newest = len(course.held_out)
        if not self.best or course.held_out[-1] < course.held_out[self.epoch - 1]:
            self.epoch = newest
            self.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return "early_stopping" if newest - self.epoch >= self.patience else None

    def training_ended(self, network: nn.Module, course: Course) -> None:
        """Go back to the best."""
        network.load_state_dict(self.best)


def train(
    network: nn.Module,
    loss: Loss,
    optimizer: Optimizer,
    normal: Tensor,
    held_out: Tensor,
    training: Training,
    hooks: Sequence[Hook] = (),
) -> Course:
    """Descend until a hook says that it is enough; the network ends in evaluation mode with its best weights.

    Draws come from torch's global generator: seed it before.

    Args:
        network: what learns.
        loss: of a batch.
        optimizer: of the network's parameters.
        normal: all that is learned from, (n, …).
        held_out: what decides when to stop, (m, …) with m > 0.
        training: how long.
        hooks: further ones.

    Raises:
        MoleflowError: the loss is no number any more.
    """
    course = Course()
    every = [Clock(training.max_seconds), EarlyStopping(training.early_stopping_patience), *hooks]
    for _ in range(training.max_epochs):
        reason = _epoch(network, loss, optimizer, normal, training.batch_size, course, every)
        course.held_out.append(_held_out_loss(network, loss, held_out, training.batch_size))
        reasons = [reason, *(hook.epoch_ended(network, course) for hook in every)]
        if any(reasons):
            course.ended = next(found for found in reasons if found)
            break
    for hook in every:
        hook.training_ended(network, course)
    network.eval()
    return course


def _epoch(
    network: nn.Module,
    loss: Loss,
    optimizer: Optimizer,
    normal: Tensor,
    batch_size: int,
    course: Course,
    hooks: Sequence[Hook],
) -> str | None:
    """One pass in a new order; returns why it was cut short."""
    network.train()
    losses: list[float] = []
    reason = None
    for rows in _shuffled(len(normal), batch_size):
        value = loss(normal[rows])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        course.steps += 1
        losses.append(value.item())
        reason = next(filter(None, [hook.step_ended(network, course) for hook in hooks]), None)
        if reason:
            break
    course.losses.append(sum(losses) / len(losses))
    if course.losses[-1] != course.losses[-1]:
        raise MoleflowError(f"training diverged after {course.steps} steps: try a smaller learning_rate")
    return reason


def _shuffled(count: int, batch_size: int) -> Iterator[Tensor]:
    """Rows of each step; a single image left over joins no step of its own, batch norm needs two."""
    parts = list(torch.randperm(count).split(batch_size))
    alone = len(parts) > 1 and len(parts[-1]) == 1 < batch_size
    return iter(parts[:-1] if alone else parts)


@torch.no_grad()
def _held_out_loss(network: nn.Module, loss: Loss, held_out: Tensor, batch_size: int) -> float:
    """Mean loss in evaluation mode under the same draws each time."""
    network.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = [(loss(part).item(), len(part)) for part in held_out.split(batch_size)]
    return sum(value * count for value, count in values) / len(held_out)
