"""Who owns a parameter, as structure: per-task copies live in ``PerTask``, everything else is shared.

Four walks over the tree need nothing else: what a task trains, what belongs to its expert, what belongs to the base,
and which parts learn without gradients when a task ends.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import quote

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.extractors.batch import Batches
from moleflow.utils.errors import MoleflowError
from moleflow.utils.seed import derive_seed


@runtime_checkable
class LearnsWithoutGradients(Protocol):
    """A part that learns from a task's features when the task ends (prototypes, covariances)."""

    def end_task(self, task: Task, batches: Batches) -> None:
        """Learn what this part keeps of the task."""


@runtime_checkable
class DerivesFromExperts(Protocol):
    """A part that holds something computed from experts' weights (merged deltas, a pooled covariance)."""

    def experts_changed(self) -> None:
        """Forget what was derived."""


@runtime_checkable
class AsksOfItsParameters(Protocol):
    """A part that adds a penalty on its own parameters to the loss."""

    def penalty(self, task: Task) -> Tensor:
        """The penalty during this task, a scalar."""


def key_of(task: str) -> str:
    """A task's name as a module's name: no dots, no clash with an attribute of ``nn.Module``."""
    return "task:" + quote(task, safe="").replace(".", "%2E")


Part = TypeVar("Part", bound=nn.Module)


class PerTask(nn.Module, Generic[Part]):
    """One copy of a part for each task, made by a factory when the task begins.

    Args:
        make: builds the copy of a task. It draws its first weights from torch's global generator, which ``begin_task``
            seeds by (seed, task's name, path in the model).
    """

    def __init__(self, make: Callable[[Task], Part]):
        super().__init__()
        self.make = make
        self.copies = nn.ModuleDict()

    def begin(self, task: Task) -> None:
        """Add the task's copy."""
        self.copies[key_of(task.name)] = self.make(task)

    def drop(self, task: str) -> None:
        """Remove the task's copy."""
        del self.copies[key_of(task)]

    def __getitem__(self, task: str) -> Part:
        """The task's copy."""
        return cast(Part, self.copies[key_of(task)])

    def __contains__(self, task: str) -> bool:
        return key_of(task) in self.copies


def per_task_parts(model: nn.Module) -> Iterator[tuple[str, PerTask]]:
    """Path and container of every per-task part, in tree order."""
    return ((path, module) for path, module in model.named_modules() if isinstance(module, PerTask))


def begin_task(model: nn.Module, task: Task, seed: int) -> None:
    """Give the task its copies; their first weights depend on (seed, task's name, path) only."""
    for path, part in list(per_task_parts(model)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, task.name, path))
            part.begin(task)


def trained_in(model: nn.Module, task: Task) -> Iterator[nn.Parameter]:
    """The parameters that learn during a task: its own copies, and what shared parts say learns now."""
    return _trained(model, task, shared_learns=False)


def _trained(module: nn.Module, task: Task, shared_learns: bool) -> Iterator[nn.Parameter]:
    if isinstance(module, PerTask):
        yield from module[task.name].parameters()
        return
    opinion = getattr(module, "trains_shared", None)
    learns = opinion(task) if opinion else shared_learns
    if learns:
        yield from module.parameters(recurse=False)
    for child in module.children():
        yield from _trained(child, task, learns)


def expert_state(model: nn.Module, task: str) -> dict[str, Tensor]:
    """Everything the task owns: path without the task's name -> tensor."""
    return {
        f"{path}.{name}": tensor
        for path, part in per_task_parts(model)
        for name, tensor in part[task].state_dict().items()
    }


def load_expert(model: nn.Module, task: str, state: dict[str, Tensor]) -> None:
    """Fill the task's copies from an expert's tensors, as ``expert_state`` gave them.

    Raises:
        MoleflowError: the tensors are not those this model's expert has.
    """
    for path, part in per_task_parts(model):
        own = {name.removeprefix(path + "."): value for name, value in state.items() if name.startswith(path + ".")}
        try:
            part[task].load_state_dict(own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise MoleflowError(f"The expert of {task!r} does not fit this model at {path}: {reason}") from error
    tell_experts_changed(model)


def base_state(model: nn.Module) -> dict[str, Tensor]:
    """What all tasks share and the run has trained: everything outside per-task copies and the frozen backbone."""
    foreign = tuple(
        path + "." for path, module in model.named_modules() if isinstance(module, PerTask | Extractor) and path
    )
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(foreign)}


def round_expert(model: nn.Module, task: str, dtype: torch.dtype) -> None:
    """Round the task's float32 tensors through its storage type: memory and file agree; statistics stay exact."""
    for tensor in expert_state(model, task).values():
        if tensor.dtype == torch.float32:
            tensor.copy_(tensor.to(dtype))


def end_task(model: nn.Module, task: Task, batches: Batches) -> None:
    """Let every part that learns without gradients learn from the task's features."""
    for module in model.modules():
        if isinstance(module, LearnsWithoutGradients) and not isinstance(module, PerTask):
            module.end_task(task, batches)


def tell_experts_changed(model: nn.Module) -> None:
    """Let every part forget what it derived from experts."""
    for module in model.modules():
        if isinstance(module, DerivesFromExperts):
            module.experts_changed()
