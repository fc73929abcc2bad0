"""MoLE-Flow: the whole model, from image to scores."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from moleflow.config.task import Task
from moleflow.extractors.base import Extractor
from moleflow.extractors.batch import Batches
from moleflow.models.routing.base import Router
from moleflow.models.scoring.aggregation import Aggregation
from moleflow.models.scoring.reference import ScoreReference
from moleflow.models.scoring.smoothing import PixelMap
from moleflow.models.stages import Latent, Mapping, Stage
from moleflow.models.task import AsksOfItsParameters, PerTask, begin_task, end_task, round_expert, tell_experts_changed
from moleflow.utils.errors import UsageError


class Parts(NamedTuple):
    """The parts of the data path, in the order data passes them."""

    extractor: Extractor
    position: Mapping
    adapter: Stage
    context: Mapping
    flow: Stage
    dia: Stage
    router: Router
    aggregation: Aggregation
    pixel_map: PixelMap


class Prediction(NamedTuple):
    """What the model says of a batch of images.

    Attributes:
        tasks: the task each image was scored under.
        scores: image scores, (B,): higher is more anomalous; comparable within a task.
        maps: pixel maps, (B, h, h).
        thresholds: each image's task's threshold, (B,), NaN where none was set.
    """

    tasks: list[str]
    scores: Tensor
    maps: Tensor
    thresholds: Tensor


class MoLEFlow(nn.Module):
    """Frozen backbone, shared flow, one expert a task, a router.

    Args:
        parts: the parts of the data path.
    """

    def __init__(self, parts: Parts):
        super().__init__()
        self.extractor, self.position, self.adapter, self.context = parts[:4]
        self.flow, self.dia, self.router, self.aggregation, self.pixel_map = parts[4:]
        self.reference = PerTask(ScoreReference)
        self.tasks: dict[str, Task] = {}
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor, task: str) -> Latent:
        """Images (B, 3, h, h) in 0..1, scored as products of one task, to latent patches and log-determinants."""
        features = self.extractor(images)  # (B, H, W, D)
        return self.likelihood(features, task)  # (B, H, W, D), (B, H, W)

    def likelihood(self, features: Tensor, task: str) -> Latent:
        """The data path after the backbone."""
        x = self.position(features, task)  # (B, H, W, D)
        x, adapter_logdet = self.adapter(x, task)  # (B, H, W, D), (B, H, W)
        x = self.context(x, task)  # (B, H, W, D)
        z, flow_logdet = self.flow(x, task)  # (B, H, W, D), (B, H, W)
        z, dia_logdet = self.dia(z, task)  # (B, H, W, D), (B, H, W)
        return Latent(z, adapter_logdet, flow_logdet + dia_logdet)

    @torch.no_grad()
    def predict(self, images: Tensor, tasks: Sequence[str] | None = None) -> Prediction:
        """Score images of any mix of products; one backbone pass serves the router and the flow.

        Args:
            images: (B, 3, h, h) in 0..1.
            tasks: the task of each image, where known; else the router names it.
        """
        features = self.extractor(images)  # (B, H, W, D)
        tasks = list(tasks) if tasks is not None else self.router(features)  # (B,) names
        patch_scores = self.score(features, tasks)  # (B, H, W)
        thresholds = torch.stack([self.threshold(task) for task in tasks])  # (B,)
        return Prediction(tasks, self.aggregation(patch_scores), self.pixel_map(patch_scores), thresholds)

    def score(self, features: Tensor, tasks: Sequence[str]) -> Tensor:
        """Patch scores (NLL, nats), (B, H, W, D) -> (B, H, W): images are grouped by task, scored, reordered."""
        scores = features.new_empty(features.shape[:-1])
        for task in dict.fromkeys(tasks):
            rows = torch.tensor([index for index, name in enumerate(tasks) if name == task], device=features.device)
            scores[rows] = self.likelihood(features[rows], self._known(task)).nll
        return scores

    def threshold(self, task: str) -> Tensor:
        """The task's threshold for image scores, a scalar; NaN where none was set."""
        return self.reference[self._known(task)].threshold

    def begin_task(self, task: Task, seed: int) -> None:
        """Give a task its expert, with first weights that depend on (seed, the task's name) only."""
        begin_task(self, task, seed)
        self.to(next(self.buffers()).device)
        self.requires_grad_(False)
        self.eval()
        self.tasks[task.name] = task
        self.router.know(list(self.tasks))

    @torch.no_grad()
    def finish_task(self, task: Task, batches: Batches, dtype: torch.dtype) -> None:
        """Learn what is learned without gradients, freeze, and round the expert to its storage type."""
        self.requires_grad_(False)
        end_task(self, task, batches)
        round_expert(self, task.name, dtype)
        tell_experts_changed(self)

    @torch.no_grad()
    def calibrate(self, task: Task, held_out: Iterable[Tensor], rate: float) -> None:
        """Keep the scores of held-out normal features, batches of (B, H, W, D), and set the task's threshold."""
        scores = [self.aggregation(self.likelihood(features, task.name).nll) for features in held_out]
        self.reference[task.name].learn(torch.cat(scores) if scores else torch.zeros(0), rate)

    def remove_task(self, task: str) -> None:
        """Forget a task's expert; the others' bytes stay, and the router is derived from those left."""
        for part in self.modules():
            if isinstance(part, PerTask):
                part.drop(self._known(task))
        del self.tasks[task]
        self.router.know(list(self.tasks))

    def penalties(self, task: Task) -> Iterator[Tensor]:
        """L8: what parts ask of their own parameters, scalars."""
        for module in self.modules():
            if isinstance(module, AsksOfItsParameters):
                yield module.penalty(task)

    def _known(self, task: str) -> str:
        if task not in self.tasks:
            raise UsageError(f"No expert is called {task!r}; there are: {', '.join(self.tasks) or 'none yet'}.")
        return task
