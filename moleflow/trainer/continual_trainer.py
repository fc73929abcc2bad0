"""Trains one task's expert after another. Names no component: it asks the model what learns."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.terms import LossTerm, Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import (
    HasChoices,
    Learner,
    learners,
    parts_of,
    shared_later,
    slow_learners,
    tell_experts_changed,
)
from moleflow.trainer.choosing import keep_likeliest, mean_nll
from moleflow.trainer.cross_fitting import Fold, cross_fitted
from moleflow.trainer.optimizers import adamw, image_order, warmup_cosine
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.utils.errors import MoleflowError
from moleflow.utils.progress import progress
from moleflow.utils.seed import derive_seed

Log = Callable[[Task, int, dict[str, float]], None]
"""Called with the task, the step and the values to log."""

LOG_EVERY = 10
"""Steps between logged values."""
BASE_TASK = Task(("__base__",), -1)
"""F12: what shared parts learn from before the stream."""


class Descent(NamedTuple):
    """One gradient descent of a task's training.

    Attributes:
        name: what its random numbers are called after, empty for the task's main one.
        learning: what moves.
        lr: peak learning rate.
        steps: optimizer steps.
        first_step: number of its first step in the log.
    """

    name: str
    learning: list[Learner]
    lr: float
    steps: int
    first_step: int = 0

    @property
    def shared(self) -> list[Learner]:
        """What moves and belongs to all tasks."""
        return [learner for learner in self.learning if learner.shared]


class ContinualTrainer:
    """Fits experts to tasks, one at a time.

    Args:
        model: what is trained.
        terms: the loss, a list of terms that is summed.
        config: how.
        log: where values go.
        amp: whether the forward pass runs in bfloat16 where that is safe.
        protector: what keeps shared weights that go on learning from forgetting.
        slow_epochs: F13: epochs in which, after each later task, some shared weights move with its expert fixed.
        slow_lr_ratio: F13: their learning rate as a share of the configured one.
    """

    def __init__(
        self,
        model: MoLEFlow,
        terms: Sequence[LossTerm],
        config: TrainingConfig,
        log: Log,
        amp: bool = False,
        protector: Protector | None = None,
        slow_epochs: int = 0,
        slow_lr_ratio: float = 0.1,
    ):
        self.model = model
        self.terms = terms
        self.config = config
        self.log = log
        self.amp = amp
        self.protector = protector or Protector()
        self.slow_epochs = slow_epochs
        self.slow_lr_ratio = slow_lr_ratio

    def train(self, task: Task, normal: TaskFeatures, held_out: TaskFeatures, folds: Iterable[Fold] = ()) -> None:
        """Give the task an expert, fit it to normal features, and finish it: statistics, rounding, thresholds.

        Args:
            task: the task.
            normal: what it trains on.
            held_out: normal images it does not train on, for scales and thresholds.
            folds: S6: the training images in two parts, several times, for more reference scores.

        Raises:
            MoleflowError: the loss stopped being finite.
        """
        fit = partial(self._fit_alone, task, held_out)
        crossed = cross_fitted(self.model, task, held_out.batches, folds, fit)
        self.model.begin_task(task, self.config.seed)
        self.model.prepare_task(task, normal.batches)
        fast, slow = self._fast(task, len(normal)), self._slow(task, len(normal))
        if fast.shared or slow.shared:
            self.protector.begin(self.model, task)
        self._fit(task, normal, held_out, fast)
        self._descend(task, normal, slow, self.log)
        self._protect(task, normal)
        self.model.finish_task(task, normal.batches, getattr(torch, self.config.expert_dtype))
        self.model.calibrate(task, held_out.batches, self.config.false_alarm_rate, crossed)

    def pretrain(self, normal: TaskFeatures) -> None:
        """F12: fit shared parts to images of no product; the expert that learns along is dropped.

        Raises:
            MoleflowError: the loss stopped being finite.
        """
        self.model.begin_task(BASE_TASK, self.config.seed)
        self.model.prepare_task(BASE_TASK, normal.batches)
        self._descend(BASE_TASK, normal, self._fast(BASE_TASK, len(normal)), self.log)
        tell_experts_changed(self.model)
        self.model.remove_task(BASE_TASK.name)

    def _fit_alone(self, task: Task, held_out: TaskFeatures, normal: TaskFeatures) -> None:
        """Fit an expert as ``train`` does, for itself: nothing is logged or protected, and nothing follows from it."""
        alone = ContinualTrainer(self.model, self.terms, self.config, lambda *_: None, self.amp)
        self.model.begin_task(task, self.config.seed)
        self.model.prepare_task(task, normal.batches)
        alone._fit(task, normal, held_out, alone._fast(task, len(normal)))
        self.model.finish_task(task, normal.batches, getattr(torch, self.config.expert_dtype))

    def steps_for(self, images: int, epochs: int | None = None) -> int:
        """Optimizer steps for that many training images: ``epochs`` (default: the task's), cut at ``num_steps``."""
        steps = math.ceil((epochs or self.config.num_epochs) * images / min(self.config.batch_size, images))
        return min(steps, self.config.num_steps or steps)

    def _fast(self, task: Task, images: int) -> Descent:
        return Descent("", list(learners(self.model, task)), self.config.lr, self.steps_for(images))

    def _slow(self, task: Task, images: int) -> Descent:
        """F13: some shared weights move a little, the expert does not; nothing moves in a stream's first task."""
        if task.index < 1 or not self.slow_epochs:
            return Descent("slow ", [], 0, 0)
        moving, lr = list(slow_learners(self.model, task)), self.slow_lr_ratio * self.config.lr
        return Descent("slow ", moving, lr, self.steps_for(images, self.slow_epochs), self.steps_for(images))

    def _fit(self, task: Task, normal: TaskFeatures, held_out: TaskFeatures, descent: Descent) -> None:
        """Descend once, or once for each size that some part leaves open.

        Sizes are tried from one start, so only where no shared weight moves: else parts keep their usual size.
        """
        open_parts = [part for part in parts_of(self.model, task.name) if isinstance(part, HasChoices)]
        if descent.shared or not open_parts:
            self._descend(task, normal, descent, self.log)
            return
        judged_by = held_out if len(held_out) else normal
        for part in open_parts:
            fit = partial(self._descend, task, normal, descent)
            kept = keep_likeliest(self.model, part, task, fit, partial(mean_nll, self.model, task, judged_by.batches))
            for row in kept.rows:
                self.log(*row)

    def _descend(self, task: Task, normal: TaskFeatures, descent: Descent, log: Log) -> None:
        if not descent.learning:
            return
        self.model.requires_grad_(False)
        for learner in descent.learning:
            learner.parameter.requires_grad_(True)
        tell_experts_changed(self.model)  # what was derived from weights does not hold while they move
        optimizer = adamw(descent.learning, descent.lr, self.config.weight_decay)
        epoch = math.ceil(len(normal) / self.config.batch_size)
        schedule = warmup_cosine(optimizer, round(self.config.warmup_epochs * epoch), descent.steps)
        noise = self._noise(task, descent.name + "noise")
        for step, features in enumerate(self._shown(task, normal, descent)):
            values = self._step(self._look(task, features, step / descent.steps, noise), optimizer, descent.shared)
            self._refuse_non_finite(task, step, values)
            if step % LOG_EVERY == 0 or step == descent.steps - 1:
                log(task, descent.first_step + step, {**values, "lr": float(schedule.get_last_lr()[0])})
            schedule.step()
        optimizer.zero_grad(set_to_none=True)
        self.model.requires_grad_(False)

    def _noise(self, task: Task, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(self.config.seed, task.name, purpose))

    def _shown(self, task: Task, normal: TaskFeatures, descent: Descent) -> Iterator[Tensor]:
        """The features of each step, under a progress bar with rate and time left."""
        seed = derive_seed(self.config.seed, task.name, descent.name + "order")
        order = image_order(len(normal), self.config.batch_size, descent.steps, seed)
        for indices in progress(order, descent.steps, f"{descent.name}train {task.name}", "step"):
            yield normal.take(indices)

    def _look(self, task: Task, features: Tensor, done: float, noise: torch.Generator) -> Step:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.amp):
            latent = self.model.likelihood(features, task.name)
        return Step(self.model, task, features, latent, done, noise)

    def _step(self, step: Step, optimizer: Optimizer, shared: list[Learner]) -> dict[str, float]:
        values = self._terms(step)
        protector = self._protector_of(step.task) if shared else Protector()
        loss = torch.stack([*values.values(), protector.loss(step)]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip:
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.config.grad_clip)
        optimizer.step()
        protector.after_update(shared)
        return {"loss": loss.item(), **{name: value.item() for name, value in values.items()}}

    def _terms(self, step: Step) -> dict[str, Tensor]:
        return {term.name: term(step) for term in self.terms}

    def _protector_of(self, task: Task) -> Protector:
        return Protector() if task.is_before_stream else self.protector

    def _protect(self, task: Task, normal: TaskFeatures) -> None:
        """Let the protector look back on a trained task, if later ones can harm it."""
        noise = self._noise(task, "protector")
        loss = lambda features: torch.stack([*self._terms(self._look(task, features, 1.0, noise)).values()]).sum()
        shared = shared_later(self.model, task)
        if shared:
            tell_experts_changed(self.model)
            self.protector.end(Learned(self.model, task, normal, shared, loss))

    def _refuse_non_finite(self, task: Task, step: int, values: dict[str, float]) -> None:
        if math.isfinite(values["loss"]):
            return
        terms = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        raise MoleflowError(
            f"The loss of task {task.name!r} stopped being finite at step {step} ({terms}); finished tasks are kept: "
            "lower --lr or raise --warmup_epochs and start again."
        )
