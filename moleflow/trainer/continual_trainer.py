"""Trains one task's expert after another. Names no component: it asks the model what learns."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from moleflow.config.run import TrainingConfig
from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.losses.terms import LossTerm
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import trained_in
from moleflow.trainer.optimizers import adamw, image_order, warmup_cosine
from moleflow.utils.errors import MoleflowError
from moleflow.utils.progress import progress
from moleflow.utils.seed import derive_seed

Log = Callable[[Task, int, dict[str, float]], None]
"""Called with the task, the step and the values to log."""

LOG_EVERY = 10
"""Steps between logged values."""


class ContinualTrainer:
    """Fits experts to tasks, one at a time.

    Args:
        model: what is trained.
        terms: the loss, a list of terms that is summed.
        config: how.
        log: where values go.
        amp: whether the forward pass runs in bfloat16 where that is safe.
    """

    def __init__(self, model: MoLEFlow, terms: Sequence[LossTerm], config: TrainingConfig, log: Log, amp: bool = False):
        self.model = model
        self.terms = terms
        self.config = config
        self.log = log
        self.amp = amp

    def train(self, task: Task, normal: TaskFeatures, held_out: TaskFeatures) -> None:
        """Give the task an expert, fit it to normal features, and finish it: statistics, rounding, thresholds.

        Raises:
            MoleflowError: the loss stopped being finite.
        """
        self.model.begin_task(task, self.config.seed)
        self._fit(task, normal)
        self.model.finish_task(task, normal.batches, getattr(torch, self.config.expert_dtype))
        self.model.calibrate(task, (batch.features for batch in held_out.batches()), self.config.false_alarm_rate)

    def steps_for(self, images: int) -> int:
        """Optimizer steps of a task with that many training images: its epochs, cut at ``num_steps``."""
        steps = math.ceil(self.config.num_epochs * images / min(self.config.batch_size, images))
        return min(steps, self.config.num_steps or steps)

    def _fit(self, task: Task, normal: TaskFeatures) -> None:
        parameters = list(trained_in(self.model, task))
        if not parameters:
            return
        for parameter in parameters:
            parameter.requires_grad_(True)
        steps = self.steps_for(len(normal))
        optimizer = adamw(parameters, self.config.lr, self.config.weight_decay)
        epoch = math.ceil(len(normal) / self.config.batch_size)
        schedule = warmup_cosine(optimizer, round(self.config.warmup_epochs * epoch), steps)
        for step, features in enumerate(self._shown(task, normal, steps)):
            values = self._step(task, features, optimizer, parameters)
            self._refuse_non_finite(task, step, values)
            if step % LOG_EVERY == 0 or step == steps - 1:
                self.log(task, step, {**values, "lr": float(schedule.get_last_lr()[0])})
            schedule.step()

    def _shown(self, task: Task, normal: TaskFeatures, steps: int) -> Iterator[Tensor]:
        """The features of each step, under a progress bar with rate and time left."""
        seed = derive_seed(self.config.seed, task.name, "order")
        order = image_order(len(normal), self.config.batch_size, steps, seed)
        for indices in progress(order, steps, f"train {task.name}", "step"):
            yield normal.take(indices)

    def _step(
        self, task: Task, features: Tensor, optimizer: Optimizer, parameters: list[nn.Parameter]
    ) -> dict[str, float]:
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self.amp):
            latent = self.model.likelihood(features, task.name)
        values = {term.name: term(latent, self.model.penalties(task)) for term in self.terms}
        loss = torch.stack(list(values.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.grad_clip:
            nn.utils.clip_grad_norm_(parameters, self.config.grad_clip)
        optimizer.step()
        return {"loss": loss.item(), **{name: value.item() for name, value in values.items()}}

    def _refuse_non_finite(self, task: Task, step: int, values: dict[str, float]) -> None:
        if math.isfinite(values["loss"]):
            return
        terms = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        raise MoleflowError(
            f"The loss of task {task.name!r} stopped being finite at step {step} ({terms}); finished tasks are kept: "
            "lower --lr or raise --warmup_epochs and start again."
        )
