"""O3: replay of old tasks' features (experience replay, Rolnick et al. 2019)."""

import torch
from torch import Tensor

from moleflow.config.task import Task
from moleflow.extractors.base import STORAGE_DTYPE
from moleflow.losses.terms import Step
from moleflow.models.mole_nf import MoLEFlow
from moleflow.trainer.regularizers.base import Learned, Protector
from moleflow.trainer.regularizers.gradients import chosen_images
from moleflow.utils.seed import derive_seed


class FeatureReplay(Protector):
    """O3: weight · mean NLL of a batch of one old task's features under its own, frozen expert.

    Each step draws one of the old tasks and as many of its images as the step's own batch has (at most those kept), so
    the cost of a step does not grow with the stream.

    Args:
        per_task: images whose features are kept of each task.
        weight: factor of the replayed loss.
        seed: seed of all choices.
    """

    def __init__(self, per_task: int, weight: float, seed: int):
        self.per_task = per_task
        self.weight = weight
        self.seed = seed
        self.bank: dict[str, Tensor] = {}
        self._old: list[str] = []
        self._generator = torch.Generator()

    def begin(self, model: MoLEFlow, task: Task) -> None:
        """Old tasks are those that the model still has an expert of."""
        self._old = sorted(set(self.bank) & set(model.tasks) - {task.name})
        self._generator.manual_seed(derive_seed(self.seed, task.name, "replay"))

    def loss(self, step: Step) -> Tensor:
        """The replayed loss, a scalar; 0 in the first task."""
        if not self._old:
            return super().loss(step)
        task = self._old[int(torch.randint(len(self._old), (), generator=self._generator))]
        kept = self.bank[task]
        shown = torch.randperm(len(kept), generator=self._generator)[: len(step.features)]
        features = kept[shown].to(step.features)
        return self.weight * step.model.likelihood(features, task).nll.mean()

    def end(self, learned: Learned) -> None:
        """Keep some of the task's features, in their storage type."""
        images = chosen_images(len(learned.normal), self.per_task, self.seed, learned.task.name, "replay bank")
        self.bank[learned.task.name] = learned.normal.take(images).detach().to("cpu", STORAGE_DTYPE)

    def state(self) -> dict[str, Tensor]:
        """Task -> kept features, (n, H, W, D)."""
        return dict(self.bank)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the kept features."""
        self.bank = dict(state)

    def position(self) -> dict[str, Tensor]:
        """The generator's state."""
        return {"generator": self._generator.get_state()}

    def go_on(self, position: dict[str, Tensor]) -> None:
        """Draw on from there."""
        if position:
            self._generator.set_state(position["generator"])
