"""Trains one task's expert after another. Names no component: it asks the model what learns."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.terms import LossTerm, Step
from moleflow.models.mole_nf import MoLEFlow, Scores
from moleflow.models.scoring.calibration import FEW
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
from moleflow.trainer.course import Course, Log
from moleflow.trainer.cross_fitting import Fold, cross_fitted, without_themselves
from moleflow.trainer.descent import Descent, Motion, noise_of
from moleflow.trainer.memory import steps_in_memory, undone_without_memory
from moleflow.trainer.progress_file import NoProgress
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.utils.errors import MoleflowError
from moleflow.utils.products import fast_products

LOG_EVERY = 10
"""Steps between logged values."""
BASE_TASK = Task(("__base__",), -1)
"""F12: what shared parts learn from before the stream."""


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
        keeper: keeps the position in a task's training.
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
        keeper: NoProgress | None = None,
    ):
        self.model = model
        self.terms = terms
        self.config = config
        self.log = log
        self.amp = amp
        self.protector = protector or Protector()
        self.slow_epochs = slow_epochs
        self.slow_lr_ratio = slow_lr_ratio
        self.keeper = keeper or NoProgress()

    def train(
        self,
        task: Task,
        normal: TaskFeatures,
        held_out: TaskFeatures,
        folds: Iterable[Fold] = (),
        batch_size: int | None = None,
    ) -> int:
        """Give the task an expert, fit it to normal features, and finish it: statistics, rounding, thresholds.

        Where a position of this very training is kept, it goes on from there and ends with the same bytes.

        Args:
            task: the task.
            normal: what it trains on.
            held_out: normal images it does not train on, for scales and thresholds.
            folds: S6: the training images in two parts, several times, for more reference scores.
            batch_size: images a step, where it is not the configured number.

        Returns:
            Images a step, as they were; a position that is taken up says so.

        Raises:
            MoleflowError: the loss stopped being finite.
            StepOutOfMemory: a step does not fit into memory; the model is as before.
            Interrupted: the program was asked to stop, and the position is kept.
        """
        with undone_without_memory(self.model, task, normal):
            fit = partial(self._fit_alone, task, held_out, batch_size)
            crossed = cross_fitted(self.model, task, held_out.batches, folds, fit)
            course = self._begin(task, normal, held_out, batch_size)
            fast, slow = self._fast(course), self._slow(course)
            if fast.shared or slow.shared:
                self.protector.begin(self.model, task)
            self._fit(course, held_out, fast)
            self._descend(course, slow, course.log)
        self._protect(task, normal)
        self.model.finish_task(task, normal.batches, getattr(torch, self.config.expert_dtype))
        as_new = self._as_new(task, normal, held_out)
        self.model.calibrate(task, held_out.batches, self.config.false_alarm_rate, chain(crossed, as_new))
        return course.batch_size

    def pretrain(self, normal: TaskFeatures, batch_size: int | None = None) -> int:
        """F12: fit shared parts to images of no product; the expert that learns along is dropped.

        Arguments, what it returns and raises are those of ``train``.
        """
        with undone_without_memory(self.model, BASE_TASK, normal):
            course = self._begin(BASE_TASK, normal, normal, batch_size)
            self._descend(course, self._fast(course), course.log)
        tell_experts_changed(self.model)
        self.model.remove_task(BASE_TASK.name)
        return course.batch_size

    def _fit_alone(self, task: Task, held_out: TaskFeatures, batch_size: int | None, normal: TaskFeatures) -> None:
        """Fit an expert as ``train`` does, for itself: nothing is logged or protected, and nothing follows from it."""
        alone = ContinualTrainer(self.model, self.terms, self.config, lambda *_: None, self.amp)
        course = alone._begin(task, normal, held_out, batch_size)
        alone._fit(course, held_out, alone._fast(course))
        self.model.finish_task(task, normal.batches, getattr(torch, self.config.expert_dtype))

    def _as_new(self, task: Task, normal: TaskFeatures, held_out: TaskFeatures) -> Iterable[Scores]:
        if self.config.calibration_images == "all" and 0 < len(held_out) < FEW:
            return without_themselves(self.model, task, normal.batches, held_out.batches)
        return ()

    def steps_for(self, images: int, epochs: int | None = None, batch_size: int | None = None) -> int:
        """Optimizer steps for that many training images: ``epochs`` (default: the task's), cut at ``num_steps``."""
        batch = min(batch_size or self.config.batch_size, images)
        steps = math.ceil((epochs or self.config.num_epochs) * images / batch)
        return min(steps, self.config.num_steps or steps)

    def _begin(self, task: Task, normal: TaskFeatures, held_out: TaskFeatures, batch_size: int | None) -> Course:
        self.model.begin_task(task, self.config.seed)
        self.model.prepare_task(task, normal.batches)
        owner = lambda: [task.name, str(task.index), held_out.identity()]
        protector = self._protector_of(task)
        batch_size = batch_size or self.config.batch_size
        return Course(self.model, task, normal, batch_size, protector, self.keeper, self.log, owner)

    def _fast(self, course: Course) -> Descent:
        steps = self.steps_for(len(course.normal), None, course.batch_size)
        return Descent("", list(learners(self.model, course.task)), self.config.lr, steps, course.batch_size)

    def _slow(self, course: Course) -> Descent:
        """F13: some shared weights move a little, the expert does not; nothing moves in a stream's first task."""
        batch = course.batch_size
        if course.task.index < 1 or not self.slow_epochs:
            return Descent("slow ", [], 0, 0, batch)
        moving, lr = list(slow_learners(self.model, course.task)), self.slow_lr_ratio * self.config.lr
        images = len(course.normal)
        before = self.steps_for(images, None, batch)
        return Descent("slow ", moving, lr, self.steps_for(images, self.slow_epochs, batch), batch, before)

    def _fit(self, course: Course, held_out: TaskFeatures, descent: Descent) -> None:
        """Descend once, or once for each size that some part leaves open; no more than one part does.

        Sizes are tried from one start, so only where no shared weight moves: else parts keep their usual size.
        """
        if course.is_past(descent):
            return
        task = course.task
        part = next((part for part in parts_of(self.model, task.name) if isinstance(part, HasChoices)), None)
        if descent.shared or part is None:
            self._descend(course, descent, course.log)
            return
        judge = partial(mean_nll, self.model, task, (held_out if len(held_out) else course.normal).batches)
        fit = partial(self._descend, course, descent)
        for row in keep_likeliest(self.model, part, task, fit, judge, course.choosing).rows:
            course.log(*row)

    def _descend(self, course: Course, descent: Descent, log: Log) -> None:
        if not descent.learning:
            return
        tell_experts_changed(self.model)  # what was derived from weights does not hold while they move
        task, normal = course.task, course.normal
        noise = noise_of(self.config.seed, task.name, descent.name + "noise")
        motion = Motion(descent, self.config.weight_decay, self.config.warmup_epochs, len(normal), noise)
        done = course.enter(descent, motion)
        with descent.learns(), steps_in_memory(task, descent, len(normal), self.config.batch_size):
            for step, features in enumerate(descent.shown(task, normal, self.config.seed, done), done):
                with fast_products():
                    look = self._look(task, features, step / descent.steps, motion.noise)
                    values = self._step(look, motion.optimizer, descent.shared)
                self._refuse_non_finite(task, step, values)
                if step % LOG_EVERY == 0 or step == descent.steps - 1:
                    log(task, descent.first_step + step, {**values, "lr": motion.lr})
                motion.schedule.step()
                course.passed(descent, motion, step + 1)
        motion.optimizer.zero_grad(set_to_none=True)

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
        noise = noise_of(self.config.seed, task.name, "protector")
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
