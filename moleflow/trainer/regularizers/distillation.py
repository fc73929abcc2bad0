"""O4: distillation from the model before the task (Learning without Forgetting, Li and Hoiem 2016)."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.models.task import PerTask
from moleflow.trainer.regularizers.base import Protector
from moleflow.utils.seed import derive_seed


class LatentDistillation(Protector):
    """O4: weight · mean over patches and channels of (z − z*)² under an old task's expert.

    z and z* are latents of the step's own features by the shared weights as they are and as they were before the task,
    so no old image is kept. Each step draws one of the old tasks; the cost of a step does not grow with the stream.

    Args:
        weight: factor of the distance.
        seed: seed of the choice of old tasks.
    """

    def __init__(self, weight: float, seed: int):
        self.weight = weight
        self.seed = seed
        self._old: list[str] = []
        self._teacher: MoLEFlow | None = None
        self._generator = torch.Generator()

    def begin(self, model: MoLEFlow, task: Task) -> None:
        """Keep the shared weights as they are."""
        self._old = sorted(name for name, old in model.tasks.items() if name != task.name and not old.is_before_stream)
        self._teacher = with_frozen_base(model) if self._old else None
        self._generator.manual_seed(derive_seed(self.seed, task.name, "distillation"))

    def loss(self, step: Step) -> Tensor:
        """The distance, a scalar; 0 in the first task."""
        if self._teacher is None:
            return super().loss(step)
        task = self._old[int(torch.randint(len(self._old), (), generator=self._generator))]
        with torch.no_grad():
            wanted = self._teacher.likelihood(step.features, task).z
        return self.weight * F.mse_loss(step.model.likelihood(step.features, task).z, wanted)

    def position(self) -> dict[str, Tensor]:
        """The generator's state."""
        return {"generator": self._generator.get_state()}

    def go_on(self, position: dict[str, Tensor]) -> None:
        """Draw on from there."""
        if position:
            self._generator.set_state(position["generator"])


def with_frozen_base(model: MoLEFlow) -> MoLEFlow:
    """A copy of the model with shared weights of its own, which do not learn; backbone and experts are the same."""
    same: list[nn.Module] = []
    for part in model.modules():
        if isinstance(part, Extractor):
            same.append(part)
        elif isinstance(part, PerTask):
            same += part.copies.values()
    copy = deepcopy(model, {id(part): part for part in same})
    kept = {id(parameter) for part in same for parameter in part.parameters()}
    for parameter in copy.parameters():
        if id(parameter) not in kept:
            parameter.requires_grad_(False)
    return copy
