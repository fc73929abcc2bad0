"""Running out of memory in a step: told as what it is, with the task taken back to its start."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from moleflow.config.task import Task
from moleflow.extractors.task_features import TaskFeatures
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import base_state, tell_experts_changed
from moleflow.trainer.descent import Descent
from moleflow.utils.errors import MoleflowError
from moleflow.utils.memory import is_out_of_memory


class StepOutOfMemory(MoleflowError):
    """A step of a task's training did not fit into memory; the model is as it was before the task.

    Attributes:
        batch_size: images in that step.
        last: whether a smaller batch is not to be tried.
    """

    def __init__(self, task: Task, batch_size: int, last: bool):
        super().__init__(
            f"Memory ran out in a step of task {task.name!r} with {batch_size} images; finished tasks are kept: free "
            "memory and go on with --resume, or train again with a lower --batch_size."
        )
        self.batch_size = batch_size
        self.last = last or batch_size < 2


@contextmanager
def undone_without_memory(model: MoLEFlow, task: Task, normal: TaskFeatures) -> Iterator[None]:
    """Work on a task that leaves the model and the task's images as they were where a step does not fit into memory."""
    base = {name: tensor.detach().to("cpu", copy=True) for name, tensor in base_state(model).items()}
    shown = normal.position()
    try:
        yield
    except StepOutOfMemory:
        for parameter in model.parameters():
            parameter.requires_grad_(False).grad = None
        if task.name in model.tasks:
            model.remove_task(task.name)
        model.load_state_dict(base, strict=False)
        tell_experts_changed(model)
        normal.go_on(shown)
        torch.cuda.empty_cache()
        raise


@contextmanager
def steps_in_memory(task: Task, descent: Descent, images: int, configured: int) -> Iterator[None]:
    """Steps of a descent, with batches of at most ``configured`` images where none was halved.

    Raises:
        StepOutOfMemory: one of them does not fit into memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = StepOutOfMemory(task, min(descent.batch_size, images), descent.batch_size < configured)
        raise reason from error.with_traceback(None)  # whose frames hold the step's memory
