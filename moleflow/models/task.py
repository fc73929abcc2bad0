"""Who owns a parameter, as structure: per-task copies live in ``PerTask``, everything else is shared.

A few walks over the tree need nothing else: what a task trains, what belongs to its expert, what belongs to the base,
and which parts learn without gradients when a task starts, when it ends, and from its held-out images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import quote

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.extractors.batch import Batches
from moleflow.utils.errors import MoleflowError
from moleflow.utils.seed import derive_seed


@runtime_checkable
class StartsFromFeatures(Protocol):
    """A part that learns from a task's features before its training (closed-form whitening, a codebook)."""

    def start_task(self, task: Task, batches: Batches) -> None:
        """Learn what training builds on. The model up to this part is as it will be when training starts."""


@runtime_checkable
class LearnsWithoutGradients(Protocol):
    """A part that learns from a task's features when the task ends (prototypes, covariances)."""

    def end_task(self, task: Task, batches: Batches) -> None:
        """Learn what this part keeps of the task."""


@runtime_checkable
class LearnsFromHeldOut(Protocol):
    """A part that learns from normal images a finished task was not trained on (scales, rejection limits)."""

    def learn_from_held_out(self, task: Task, held_out: Batches, model: Any) -> None:
        """Learn what this part keeps of them; ``model`` is the whole model."""


@runtime_checkable
class KeepsPieces(Protocol):
    """A part that keeps pieces of its task's training images, and can do without those of one (a memory of patches).

    Attributes:
        images: of how many images it knows which pieces are theirs.
    """

    images: int

    def without(self, image: int) -> AbstractContextManager[None]:
        """Do without the pieces of the image of that number, in the order in which they were last learned from."""


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


@runtime_checkable
class KnowsWhenItLearns(Protocol):
    """A part that says itself when its shared weights learn, and those of the parts within that do not."""

    def trains_shared(self, task: Task) -> bool:
        """Whether they learn in the task's training."""


@runtime_checkable
class HasChoices(Protocol):
    """A part with a size that is chosen for each task by trying (the number of coupling blocks)."""

    def choices(self, task: Task) -> Sequence[int]:
        """The sizes to try, the smallest first; none where the task's size is given."""

    def choose(self, task: Task, choice: int) -> None:
        """Give the task's copy this size."""


@runtime_checkable
class MovesSlowly(Protocol):
    """A shared part of which something still moves a little in the slow stage of later tasks (F13)."""

    def moves_slowly(self) -> Sequence[nn.Module]:
        """The parts that move."""


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
        """Add the task's copy, and the task's copies of what is per task within it."""
        copy = self.make(task)
        for _, nested in per_task_parts(copy):
            nested.begin(task)
        self.copies[key_of(task.name)] = copy

    def freeze(self, task: str, device: torch.device) -> None:
        """Move the task's copy to a device and let nothing of it learn."""
        self[task].to(device).requires_grad_(False).eval()

    def drop(self, task: str) -> None:
        """Remove the task's copy."""
        del self.copies[key_of(task)]

    def __getitem__(self, task: str) -> Part:
        """The task's copy."""
        return cast(Part, self.copies[key_of(task)])

    def __contains__(self, task: str) -> bool:
        return key_of(task) in self.copies


def per_task_parts(model: nn.Module, path: str = "") -> Iterator[tuple[str, PerTask]]:
    """Path and container of every outermost per-task part, in tree order."""
    if isinstance(model, PerTask):
        yield path, model
        return
    for name, child in model.named_children():
        yield from per_task_parts(child, _joined(path, name))


def parts_of(model: nn.Module, task: str) -> Iterator[nn.Module]:
    """Every module that a task's features meet: what is shared, and the task's own copies; no other task's."""
    if isinstance(model, PerTask):
        yield from parts_of(model[task], task)
        return
    yield model
    for child in model.children():
        yield from parts_of(child, task)


def begin_task(model: nn.Module, task: Task, seed: int) -> None:
    """Give the task its copies; their first weights depend on (seed, task's name, path) only."""
    for path, part in list(per_task_parts(model)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, task.name, path))
            part.begin(task)


class Learner(NamedTuple):
    """A parameter that learns during a task.

    Attributes:
        name: its path in the model.
        parameter: the parameter.
        shared: whether all tasks use it.
        lr_factor: factor of its learning rate.
    """

    name: str
    parameter: nn.Parameter
    shared: bool
    lr_factor: float


Opinion = Callable[[nn.Module, bool], bool]
"""(module, whether what holds it learns) -> whether the shared weights directly in it learn."""


def learners(model: nn.Module, task: Task) -> Iterator[Learner]:
    """What learns during a task: its own copies, and what shared parts say learns now.

    A module's attribute ``lr_factor`` scales the learning rate of everything in it.
    """

    def opinion(module: nn.Module, inherited: bool) -> bool:
        return module.trains_shared(task) if isinstance(module, KnowsWhenItLearns) else inherited

    return _learners(model, task, "", opinion, False, 1.0)


def slow_learners(model: nn.Module, task: Task) -> Iterator[Learner]:
    """F13: the shared weights that move in the slow stage after a task; no expert does.

    Within a part that moves, a module that says of itself that it does not learn in the task stays.
    """
    parts = [module for module in parts_of(model, task.name) if isinstance(module, MovesSlowly)]
    moving = {id(moved) for part in parts for moved in part.moves_slowly()}

    def opinion(module: nn.Module, inherited: bool) -> bool:
        stays = isinstance(module, KnowsWhenItLearns) and not module.trains_shared(task)
        return id(module) in moving or (inherited and not stays)

    return (learner for learner in _learners(model, task, "", opinion, False, 1.0) if learner.shared)


def shared_later(model: nn.Module, task: Task) -> list[Learner]:
    """The shared weights that later tasks will move, in their training or in their slow stage."""
    later = replace(task, index=max(task.index, 0) + 1)
    moving = [*(learner for learner in learners(model, later) if learner.shared), *slow_learners(model, later)]
    return list({learner.name: learner for learner in moving}.values())


def _learners(
    module: nn.Module, task: Task, path: str, opinion: Opinion, inherited: bool, factor: float
) -> Iterator[Learner]:
    factor *= getattr(module, "lr_factor", 1.0)
    if isinstance(module, PerTask):
        yield from _own(module[task.name], f"{path}.{key_of(task.name)}", factor)
        return
    learns = opinion(module, inherited)
    if learns:
        for name, parameter in module.named_parameters(recurse=False):
            yield Learner(_joined(path, name), parameter, True, factor)
    for name, child in module.named_children():
        yield from _learners(child, task, _joined(path, name), opinion, learns, factor)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _own(module: nn.Module, path: str, factor: float) -> Iterator[Learner]:
    factor *= getattr(module, "lr_factor", 1.0)
    for name, parameter in module.named_parameters(recurse=False):
        yield Learner(f"{path}.{name}", parameter, False, factor)
    for name, child in module.named_children():
        yield from _own(child, f"{path}.{name}", factor)


def trained_in(model: nn.Module, task: Task) -> Iterator[nn.Parameter]:
    """The parameters that learn during a task."""
    return (learner.parameter for learner in learners(model, task))


def expert_state(model: nn.Module, task: str) -> dict[str, Tensor]:
    """Everything the task owns: path -> tensor; the container's key of the task is left out of the path."""
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
        fill_copy(part, path, task, state)
    tell_experts_changed(model)


def fill_copy(part: PerTask, path: str, task: str, state: Mapping[str, Tensor]) -> None:
    """Fill the task's copy of one part, which stands at a path of the model.

    Raises:
        MoleflowError: the tensors are not those this copy has.
    """
    own = {name.removeprefix(path + "."): value for name, value in state.items() if name.startswith(path + ".")}
    try:
        part[task].load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MoleflowError(f"The expert of {task!r} does not fit this model at {path}: {reason}") from error


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


def start_task(model: nn.Module, task: Task, batches: Batches) -> None:
    """Let every part that builds on the task's features look at them before training."""
    for module in parts_of(model, task.name):
        if isinstance(module, StartsFromFeatures):
            module.start_task(task, batches)


def end_task(model: nn.Module, task: Task, batches: Batches) -> None:
    """Let every part that learns without gradients learn from the task's features."""
    for module in parts_of(model, task.name):
        if isinstance(module, LearnsWithoutGradients):
            module.end_task(task, batches)


def tell_experts_changed(model: nn.Module) -> None:
    """Let every part forget what it derived from experts."""
    kinds = {type(module) for module in model.modules()}  # asking every module of every task would take long
    deriving = tuple(kind for kind in kinds if issubclass(kind, DerivesFromExperts))
    for module in model.modules():
        if isinstance(module, deriving):
            cast(DerivesFromExperts, module).experts_changed()
